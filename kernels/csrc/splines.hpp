// Cubic B-splines of many points at once (kernels/splines.py): functions on equal intervals of -1..1, of which a point sees four.
//
// What a point costs depends neither on the length of a table nor on how many functions a network makes of it. Sums are formed
// interval by interval, four numbers in each; where there are few points for a table, each goes to the network by itself.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lanes.hpp"

template <class T> struct Quad {
    typedef T Vector __attribute__((vector_size(4 * sizeof(T))));
    typedef T Loose __attribute__((vector_size(4 * sizeof(T)), aligned(alignof(T)), may_alias));
    typedef typename LaneInteger<T>::type Places __attribute__((vector_size(4 * sizeof(T))));

    static constexpr Vector CONSTANT = {T(1.0 / 6), T(2.0 / 3), T(1.0 / 6), 0};
    static constexpr Vector LINE = {T(-0.5), 0, T(0.5), 0};
    static constexpr Vector SQUARE = {T(0.5), -1, T(0.5), 0};
    static constexpr Vector CUBE = {T(-1.0 / 6), T(0.5), T(-0.5), T(1.0 / 6)};

    // The four functions at t, 0..1, and their derivatives by t.
    static inline Vector values(T t) { return CONSTANT + t * (LINE + t * (SQUARE + t * CUBE)); }
    static inline Vector slopes(T t) { return LINE + t * (2 * SQUARE + t * (3 * CUBE)); }

    static inline Vector load(const T *from) { return *reinterpret_cast<const Loose *>(from); }
    static inline void store(T *to, Vector value) { *reinterpret_cast<Loose *>(to) = value; }

    static inline Vector join(Vector a, Vector b, Places places) {
#if defined(__clang__)
        Vector result;
        for (int k = 0; k < 4; k++) result[k] = places[k] < 4 ? a[places[k]] : b[places[k] - 4];
        return result;
#else
        return __builtin_shuffle(a, b, places);
#endif
    }

    // rows become columns
    static inline void transpose(Vector (&q)[4]) {
        const Places even = {0, 4, 2, 6}, odd = {1, 5, 3, 7}, low = {0, 1, 4, 5}, high = {2, 3, 6, 7};
        const Vector a = join(q[0], q[1], even), b = join(q[0], q[1], odd), c = join(q[2], q[3], even), d = join(q[2], q[3], odd);
        q[0] = join(a, c, low), q[1] = join(b, d, low), q[2] = join(a, c, high), q[3] = join(b, d, high);
    }
};

// The interval of each point, which is the first function that it sees, and, in the place of x, where in it the point is, 0..1.
template <class T> static void locate(int terms, int points, T *x, int32_t *first) {
    const T rate = T(0.5 * (terms - 3));
    const int32_t last = terms - 4;
#pragma GCC ivdep
    for (int p = 0; p < points; p++) {
        T at = (x[p] + 1) * rate;
        int32_t interval = int32_t(at);
        interval = interval < 0 ? 0 : interval;
        interval = interval > last ? last : interval;
        first[p] = interval;
        x[p] = at - T(interval);
    }
}

// Value and derivative by x where a point sees the coefficients c; of one number or of several points.
template <class T, class X> static inline void evaluate_spline(X t, const X (&c)[4], T rate, X &value, X &slope) {
    const X s = 1 - t;
    value = (c[0] * s * s * s + c[3] * t * t * t) * T(1.0 / 6) + (c[1] * (T(2.0 / 3) - t * t * (1 - T(0.5) * t)) +
            c[2] * (T(2.0 / 3) - s * s * (1 - T(0.5) * s)));
    slope = rate * ((c[3] * t * t - c[0] * s * s) * T(0.5) + (c[1] * t * (T(1.5) * t - 2) + c[2] * s * (2 - T(1.5) * s)));
}

// The series of K powers of the weight and their derivatives by x at every point. table: K rows of `terms` coefficients.
template <class T>
static void evaluate_splines(const T *t, const int32_t *first, const T *table, int terms, int powers, int points, T *value, T *slope,
                             size_t stride) {
    typedef typename Quad<T>::Vector Q;
    const T rate = T(0.5 * (terms - 3));
    for (int k = 0; k < powers; k++, table += terms, value += stride, slope += stride) {
        int p = 0;
        for (; p + 4 <= points; p += 4) {
            Q c[4], values, slopes;
            for (int n = 0; n < 4; n++) c[n] = Quad<T>::load(table + first[p + n]);
            Quad<T>::transpose(c);
            evaluate_spline<T, Q>(Quad<T>::load(t + p), c, rate, values, slopes);
            Quad<T>::store(value + p, values), Quad<T>::store(slope + p, slopes);
        }
        for (; p < points; p++) {
            const T *at = table + first[p], c[4] = {at[0], at[1], at[2], at[3]};
            evaluate_spline<T, T>(t[p], c, rate, value[p], slope[p]);
        }
    }
}

// Sums of splines over points, of any number of tables one after another. Row k of K weights or series is for power k of the weight.
template <class T> class SplineSums {
    typedef typename Quad<T>::Vector Q;

  public:
    // most: the largest number of coefficients of a table, all powers' together. all: those of all tables.
    SplineSums(int most, int all) : most_(most) {
        intervals_.need(2 * most_), values_.need(all + 8 * width), places_.need(all + 8 * width);
        std::fill(intervals_.data, intervals_.data + 2 * most_, Q{});
    }

    // sums[k * terms + j] = sum over points of weight_k B_j. weight: K rows, `stride` apart.
    void sum(const T *t, const int32_t *first, const T *weight, size_t stride, int terms, int powers, int points, T *sums) {
        auto value = [&](int k, int p) RENKEI_INLINE { return weight[k * stride + p] * Quad<T>::values(t[p]); };
        if (powers == 1)
            collect<1>(first, 1, points, value);
        else if (powers == 2)
            collect<2>(first, 2, points, value);
        else
            collect<0>(first, powers, points, value);
        finish(terms, powers, sums);
    }

    // The same for the change of the sum when x changes by dx and the weights by dweight.
    void sum_change(const T *t, const int32_t *first, const T *weight, const T *dx, const T *dweight, size_t stride, int terms, int powers,
                    int points, T *sums) {
        const T rate = T(0.5 * (terms - 3));
        collect<0>(first, powers, points, [&](int k, int p) RENKEI_INLINE {
            return dweight[k * stride + p] * Quad<T>::values(t[p]) + weight[k * stride + p] * dx[p] * rate * Quad<T>::slopes(t[p]);
        });
        finish(terms, powers, sums);
    }

    // Begin a list of parts of sums.
    void clear() { count_ = 0; }

    // What `sum` gives for the sums from place `begin` on, as parts whose places may come more than once: no more than there are sums.
    void list(const T *t, const int32_t *first, const T *weight, size_t stride, int terms, int powers, int points, int begin) {
        if (4 * points >= terms) {
            sum(t, first, weight, stride, terms, powers, points, values_.data + count_);
            for (int n = 0; n < powers * terms; n++) places_[count_ + n] = begin + n;
            count_ += powers * terms;
            return;
        }
        for (int p = 0; p < points; p++) {
            const Q four = Quad<T>::values(t[p]);
            for (int k = 0; k < powers; k++, count_ += 4) {
                Quad<T>::store(values_.data + count_, weight[k * stride + p] * four);
                for (int d = 0; d < 4; d++) places_[count_ + d] = begin + k * terms + first[p] + d;
            }
        }
    }

    const T *values() const { return values_.data; }
    int count() const { return count_; }

    // The last one is repeated to a whole vector.
    const int32_t *places() {
        for (int n = count_; n % width; n++) places_[n] = count_ ? places_[count_ - 1] : 0;
        return places_.data;
    }

  private:
    static constexpr int width = Lanes<T>::width;
    const size_t most_;
    Room<Q> intervals_;  // [which of two][interval][power], 0 between calls
    Room<T> values_;
    Room<int32_t> places_;
    int count_ = 0;

    // Points go to two copies in turn, so that one need not wait for the last one in its interval.
    template <int K, class Value> void collect(const int32_t *first, int powers, int points, Value value) {
        const int count = K ? K : powers;
        Q *copies[2] = {intervals_.data, intervals_.data + most_};
        for (int p = 0; p < points; p++) {
            Q *to = copies[p % 2] + size_t(first[p]) * count;
            for (int k = 0; k < count; k++) to[k] += value(k, p);
        }
    }

    void finish(int terms, int powers, T *sums) {
        const typename Quad<T>::Places next = {1, 2, 3, 4};
        for (int k = 0; k < powers; k++, sums += terms) {
            Q left = {};
            for (int i = 0; i < terms - 3; i++) {
                Q *one = intervals_.data + size_t(i) * powers + k, *other = one + most_;
                left += *one + *other;
                *one = *other = Q{};
                sums[i] = left[0];
                left = Quad<T>::join(left, Q{}, next);
            }
            for (int d = 0; d < 3; d++) sums[terms - 3 + d] = left[d];
        }
    }
};
