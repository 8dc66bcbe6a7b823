// One dense network per species: value and gradient of one atom.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "lanes.hpp"
#include "plan.hpp"
#include "renkei_kernels.h"

// e^y to a few last bits, y clamped; without a call, so that loops over it become vector code.
template <class T> static inline T exponential(T y) {
    constexpr bool single = sizeof(T) == 4;
    constexpr T bound = single ? T(87) : T(700);
    y = y < -bound ? -bound : y > bound ? bound : y;
    T whole = std::floor(y * T(1.4426950408889634) + T(0.5));
    T r = y - whole * T(single ? 0.693359375 : 0.6931471803691238);
    r -= whole * T(single ? -2.12194440e-4 : 1.9082149292705877e-10);
    T series = 1;
    for (int n = single ? 7 : 13; n > 0; n--) series = 1 + r * series * T(1.0 / n);
    typename LaneInteger<T>::type bits = (typename LaneInteger<T>::type(whole) + (single ? 127 : 1023)) << (single ? 23 : 52);
    T power;
    __builtin_memcpy(&power, &bits, sizeof power);
    return series * power;
}

template <class T> struct Layer {
    int in, out, in_room, out_room;  // room: rounded up to the vectors
    std::vector<T> forward;          // (in, out_room)
    std::vector<T> backward;         // (out, in_room)
    std::vector<T> bias;             // (out_room)
};

// What a network is given: all its inputs, or parts of some, each with the place of its input, the last place repeated to a whole vector.
template <class T> struct Inputs {
    const T *value;
    const int32_t *place = nullptr;
    int count = 0;
};

template <class T> struct Network {
    int activation = 0;
    std::vector<Layer<T>> layers;

    // Inputs are sums of tables (plan.hpp): what makes features of them, and their mean and scale, are part of the first layer.
    void take(const renkei_networks &from, int species, const Plan<T> &plan) {
        activation = from.activation;
        const double *at = from.parameters + from.begin[species];
        const int32_t *sizes = from.sizes + species * (from.depth + 1);
        for (int l = 0; l < from.layers[species]; l++) {
            int in = sizes[l], out = sizes[l + 1];
            std::vector<double> matrix(at, at + size_t(out) * in), bias(at + size_t(out) * in, at + size_t(out) * (in + 1));
            if (l == 0) {
                matrix = on_sums(matrix, bias, from.mean + species * plan.length, from.scale + species * plan.length, plan);
                in = plan.tables();
            }
            layers.push_back(layer_of(matrix, bias, in, out, l > 0 || !plan.splines));
            at += size_t(out) * (sizes[l] + 1);
        }
    }

    int widest() const {
        int most = 0;
        for (const Layer<T> &layer : layers) most = std::max(most, std::max(layer.in_room, layer.out_room));
        return most;
    }

    // The value; its derivative by the inputs is left in the first row of nodes. nodes, slopes: (layers + 1, widest) scratch.
    // Derivatives by inputs of which no part was given are not there.
    double value_and_gradient(const Inputs<T> &inputs, T *nodes, T *slopes, int widest) const {
        int depth = int(layers.size());
        for (int l = 0; l < depth; l++) {
            T *out = nodes + (l + 1) * widest;
            const T *in = l ? nodes + l * widest : inputs.value;
            const T *rows = layers[l].forward.data(), *bias = layers[l].bias.data();
            if (l == 0 && inputs.place)
                multiply(rows, bias, in, inputs.count, layers[l].out_room, out, [&](int n) RENKEI_INLINE { return inputs.place[n]; });
            else
                multiply(rows, bias, in, layers[l].in, layers[l].out_room, out, [](int n) RENKEI_INLINE { return n; });
            if (l < depth - 1) activate(out, slopes + (l + 1) * widest, layers[l].out_room);
        }
        double value = double(nodes[depth * widest]);
        T *by = slopes + depth * widest;
        by[0] = 1;
        for (int l = depth - 1; l >= 0; l--) {
            T *target = nodes + l * widest;
            const T *upper = slopes + (l + 1) * widest;
            if (l == 0 && inputs.place)
                contract(layers[l].forward.data(), upper, inputs, layers[l].out_room, target);
            else
                multiply(layers[l].backward.data(), nullptr, upper, layers[l].out, layers[l].in_room, target,
                         [](int n) RENKEI_INLINE { return n; });
            if (l > 0)
                for (int k = 0; k < layers[l].in; k++) slopes[l * widest + k] *= target[k];
        }
        return value;
    }

  private:
    // backward: whether its transpose is wanted
    static Layer<T> layer_of(const std::vector<double> &matrix, const std::vector<double> &bias, int in, int out, bool backward) {
        Layer<T> layer{in, out, rounded<T>(in), rounded<T>(out), {}, {}, {}};
        layer.forward.assign(size_t(in) * layer.out_room, T(0));
        layer.backward.assign(backward ? size_t(out) * layer.in_room : 0, T(0));
        layer.bias.assign(layer.out_room, T(0));
        for (int o = 0; o < out; o++) {
            for (int k = 0; k < in; k++) {
                T weight = T(matrix[size_t(o) * in + k]);
                layer.forward[size_t(k) * layer.out_room + o] = weight;
                if (backward) layer.backward[size_t(o) * layer.in_room + k] = weight;
            }
            layer.bias[o] = T(bias[o]);
        }
        return layer;
    }

    // The first layer (out, features) as one on sums, (out, plan.tables()); takes the mean into the bias.
    static std::vector<double> on_sums(std::vector<double> matrix, std::vector<double> &bias, const double *mean, const double *scale,
                                       const Plan<T> &plan) {
        std::vector<double> result(bias.size() * plan.tables());
        for (size_t o = 0; o < bias.size(); o++) {
            double *row = &matrix[o * plan.length];
            for (int k = 0; k < plan.length; k++) {
                row[k] *= scale[k];
                bias[o] -= row[k] * mean[k];
            }
            plan.fold(row, &result[o * plan.tables()]);
        }
        return result;
    }

    // out (multiple of the width) = bias + sum_n in[n] * rows[at(n)]
    template <class At> static void multiply(const T *rows, const T *bias, const T *in, int count, int room, T *out, At at) {
        constexpr int width = Lanes<T>::width;
        int o = 0;
        for (; o + 4 * width <= room; o += 4 * width) block<4>(rows + o, bias ? bias + o : nullptr, in, count, room, out + o, at);
        for (; o + 2 * width <= room; o += 2 * width) block<2>(rows + o, bias ? bias + o : nullptr, in, count, room, out + o, at);
        for (; o < room; o += width) block<1>(rows + o, bias ? bias + o : nullptr, in, count, room, out + o, at);
    }

    template <int B, class At>
    static inline void block(const T *rows, const T *bias, const T *in, int count, int room, T *out, At at) {
        typedef typename Lanes<T>::Vector V;
        constexpr int width = Lanes<T>::width, ways = B == 4 ? 2 : 4;  // independent sums hide the latency
        V sum[ways][B];
        for (int w = 0; w < ways; w++)
            for (int b = 0; b < B; b++) sum[w][b] = w == 0 && bias ? Lanes<T>::load(bias + b * width) : V{};
        int k = 0;
        for (; k + ways <= count; k += ways)
            for (int w = 0; w < ways; w++)
                for (int b = 0; b < B; b++) sum[w][b] += in[k + w] * Lanes<T>::load(rows + size_t(at(k + w)) * room + b * width);
        for (; k < count; k++)
            for (int b = 0; b < B; b++) sum[0][b] += in[k] * Lanes<T>::load(rows + size_t(at(k)) * room + b * width);
        for (int b = 0; b < B; b++) {
            V total = sum[0][b];
            for (int w = 1; w < ways; w++) total += sum[w][b];
            Lanes<T>::store(out + b * width, total);
        }
    }

    // target[k] = rows[k] . upper for some k; upper: (room)
    static void contract(const T *rows, const T *upper, const Inputs<T> &some, int room, T *target) {
        typedef typename Lanes<T>::Vector V;
        constexpr int width = Lanes<T>::width;
        for (int n = 0; n < some.count; n += width) {
            const T *row[width];
            V products[width] = {};
            T sums[width];
            for (int i = 0; i < width; i++) row[i] = rows + size_t(some.place[n + i]) * room;
            for (int o = 0; o < room; o += width) {
                const V here = Lanes<T>::load(upper + o);
#pragma GCC unroll 16
                for (int i = 0; i < width; i++) products[i] += Lanes<T>::load(row[i] + o) * here;
            }
            sum_lanes<T>(products, width, sums);
            for (int i = 0; i < width; i++) target[some.place[n + i]] = sums[i];
        }
    }

    void activate(T *nodes, T *slopes, int count) const {
        switch (activation) {
            case 1:
                for (int k = 0; k < count; k++) {
                    T t = 1 - 2 / (exponential(2 * nodes[k]) + 1);
                    nodes[k] = t;
                    slopes[k] = 1 - t * t;
                }
                break;
            case 2:
                for (int k = 0; k < count; k++) {
                    T t = 1 / (1 + exponential(-nodes[k]));
                    nodes[k] = t;
                    slopes[k] = t * (1 - t);
                }
                break;
            case 3:
            case 4: {
                const T height = T(1.7159), steepness = T(2.0 / 3), line = activation == 4 ? T(0.1) : T(0);
                for (int k = 0; k < count; k++) {
                    T t = 1 - 2 / (exponential(2 * steepness * nodes[k]) + 1);
                    nodes[k] = height * t + line * nodes[k];
                    slopes[k] = height * steepness * (1 - t * t) + line;
                }
                break;
            }
            default:
                for (int k = 0; k < count; k++) slopes[k] = 1;
        }
    }
};
