// The rate at which one core multiplies and adds: what the loops are measured by (benchmarks/kernel.py).
#include "renkei_kernels.h"

#include <algorithm>
#include <chrono>

#include "lanes.hpp"

namespace {

// independent sums: more than the latency of an addition times the units that add; with two factors they fit into 16 registers
constexpr int SUMS = 12, ROUNDS = 20000;

// Operations per second of one stretch; the sums tend to factor / (1 - factor) and stay plain numbers.
template <class T> double rate(typename Lanes<T>::Vector (&sums)[SUMS], typename Lanes<T>::Vector factor) {
    auto began = std::chrono::steady_clock::now();
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 12
        for (int s = 0; s < SUMS; s++) sums[s] = sums[s] * factor + factor;
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    return 2.0 * SUMS * ROUNDS * Lanes<T>::width / took.count();
}

template <class T> double peak(double seconds) {
    typename Lanes<T>::Vector sums[SUMS], total{};
    for (int s = 0; s < SUMS; s++) sums[s] = Lanes<T>::all(T(s));
    volatile T half = T(0.5);  // unknown to the compiler, or nothing would be left to do
    double best = 0;
    auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    do best = std::max(best, rate<T>(sums, Lanes<T>::all(half)));
    while (std::chrono::steady_clock::now() < until);
    for (int s = 0; s < SUMS; s++) total += sums[s];
    volatile T kept = total[0];
    (void)kept;
    return best;
}

}  // namespace

extern "C" double renkei_fma_peak(int32_t single, double seconds) { return single ? peak<float>(seconds) : peak<double>(seconds); }
