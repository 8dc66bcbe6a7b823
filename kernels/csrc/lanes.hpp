// Vectors of the compiler (GCC and Clang), as wide as the instruction set has them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#define RENKEI_INLINE __attribute__((always_inline))

#if defined(__AVX512F__) || (defined(__ARM_FEATURE_SVE_BITS) && __ARM_FEATURE_SVE_BITS == 512)
#define RENKEI_VECTOR_BYTES 64
#elif defined(__AVX__)
#define RENKEI_VECTOR_BYTES 32
#else
#define RENKEI_VECTOR_BYTES 16
#endif

template <class T> struct LaneInteger;
template <> struct LaneInteger<float> { typedef int type; };
template <> struct LaneInteger<double> { typedef long long type; };

template <class T> struct Lanes {
    static constexpr int width = RENKEI_VECTOR_BYTES / sizeof(T);
    typedef typename LaneInteger<T>::type Integer;
    typedef T Vector __attribute__((vector_size(RENKEI_VECTOR_BYTES)));
    typedef Integer Mask __attribute__((vector_size(RENKEI_VECTOR_BYTES)));
    typedef T Loose __attribute__((vector_size(RENKEI_VECTOR_BYTES), aligned(alignof(T)), may_alias));

    static Vector load(const T *from) { return *reinterpret_cast<const Loose *>(from); }
    static void store(T *to, Vector value) { *reinterpret_cast<Loose *>(to) = value; }

    static Vector all(T value) { return Vector{} + value; }

    // lanes low .. high - 1, zero in the others
    static Vector between(Vector value, int low, int high) {
        Mask number;
        for (int lane = 0; lane < width; lane++) number[lane] = lane;
        return (number >= Integer(low)) & (number < Integer(high)) ? value : Vector{};
    }
};

// Lanes without the bit `half`: a[lane] + a[lane + half]; with it: b[lane] + b[lane - half].
template <class T, int half> static inline typename Lanes<T>::Vector join(typename Lanes<T>::Vector a, typename Lanes<T>::Vector b) {
    constexpr int width = Lanes<T>::width;
    typename Lanes<T>::Vector own, other;
#if defined(__clang__)
    for (int lane = 0; lane < width; lane++) {
        own[lane] = lane & half ? b[lane] : a[lane];
        other[lane] = lane & half ? b[lane - half] : a[lane + half];
    }
#else
    typename Lanes<T>::Mask stay, move;
    for (int lane = 0; lane < width; lane++) {
        stay[lane] = lane & half ? lane + width : lane;
        move[lane] = lane & half ? lane - half + width : lane + half;
    }
    own = __builtin_shuffle(a, b, stay), other = __builtin_shuffle(a, b, move);
#endif
    return own + other;
}

template <class T, int half> static inline void join_all(typename Lanes<T>::Vector *values) {
    for (int k = 0; k < half; k++) values[k] = join<T, half>(values[k], values[k + half]);
    if constexpr (half > 1) join_all<T, half / 2>(values);
}

// sums[k] = sum over the lanes of values[k]; both have room for a multiple of the width; values are overwritten
template <class T> static inline void sum_lanes(typename Lanes<T>::Vector *values, int count, T *sums) {
    constexpr int width = Lanes<T>::width;
    for (int k = 0; k < count; k += width) {
        join_all<T, width / 2>(values + k);
        Lanes<T>::store(sums + k, values[k]);
    }
}

template <class T> static constexpr int rounded(int count) {
    return (count + Lanes<T>::width - 1) / Lanes<T>::width * Lanes<T>::width;
}

// An aligned array that grows and forgets. Freed by its owner.
template <class T> struct Room {
    T *data = nullptr;
    size_t size = 0;

    Room() = default;
    Room(const Room &) = delete;
    Room &operator=(const Room &) = delete;
    ~Room() { std::free(data); }

    void need(size_t count) {
        if (count <= size) return;
        std::free(data);
        data = nullptr;
        size = 0;
        size_t wanted = count + count / 2;
        data = static_cast<T *>(std::aligned_alloc(64, (wanted * sizeof(T) + 63) / 64 * 64));
        if (!data) throw std::bad_alloc();
        size = wanted;
    }
    T &operator[](size_t place) { return data[place]; }
};
