// Chebyshev series of many points at once.
//
// With y = T_J(x), T_(Ji)(x) = T_i(y), and 2 T_(Ji) T_j = T_(Ji+j) + T_|Ji-j|. So a series of I J terms is a table of products
// T_i(y) T_j(x): the recurrence runs over J terms instead of I J, and each term costs one multiply-add per point and no more.
// K series (one for each power of the weight) share the recurrences.
#pragma once

#include "lanes.hpp"

struct Shape {
    int terms, outer, inner;  // outer * inner >= terms
    int size() const { return outer * inner; }
};

constexpr int LARGEST_TERMS = 128;

// The tables that there are loops for; with one row any length will do.
constexpr struct {
    int outer, inner;
} TABLES[] = {{1, 0}, {2, 8}, {3, 8}, {4, 8}, {3, 16}, {4, 16}, {6, 16}, {8, 16}};
constexpr int LONGEST_ROW = 12;

// Place in TABLES of the smallest that holds so many terms; -1 if there is none.
static inline int table_for(int terms) {
    if (terms <= LONGEST_ROW) return 0;
    for (int n = 1; n < int(sizeof TABLES / sizeof *TABLES); n++)
        if (terms <= TABLES[n].outer * TABLES[n].inner) return n;
    return -1;
}

static inline Shape shape_of(int terms) {
    int n = table_for(terms);
    return n == 0 ? Shape{terms, 1, terms} : Shape{terms, TABLES[n].outer, TABLES[n].inner};
}

// table[j][k][i] += sum over points of weight_k T_i(y) T_j(x).  weight: K rows, `stride` apart; points: multiple of the width.
template <class T, int I, int J, int K, int B>
static inline void project_block(const Shape &shape, const T *x, const T *weight, size_t stride, typename Lanes<T>::Vector *table) {
    typedef typename Lanes<T>::Vector V;
    constexpr int width = Lanes<T>::width;
    const int inner = J ? J : shape.inner;
    V now[B], last[B], twice[B], row[K * I][B], y[B], here[B], before[B];
    for (int b = 0; b < B; b++) {
        V point = Lanes<T>::load(x + b * width);
        twice[b] = point + point;
        now[b] = here[b] = Lanes<T>::all(1);
        last[b] = y[b] = point;
    }
    for (int n = J; I > 1 && n > 1; n /= 2)  // T_inner by doubling
        for (int b = 0; b < B; b++) y[b] = 2 * y[b] * y[b] - 1;
    for (int b = 0; b < B; b++) before[b] = y[b];
#pragma GCC unroll 8
    for (int i = 0; i < I; i++)
        for (int b = 0; b < B; b++) {
            for (int k = 0; k < K; k++) row[k * I + i][b] = here[b] * Lanes<T>::load(weight + k * stride + b * width);
            V next = 2 * y[b] * here[b] - before[b];
            before[b] = here[b];
            here[b] = next;
        }
#pragma GCC unroll 8
    for (int j = 0; j < inner; j++, table += K * I) {
        for (int r = 0; r < K * I; r++) {
            V sum = table[r];
            for (int b = 0; b < B; b++) sum += row[r][b] * now[b];
            table[r] = sum;
        }
        for (int b = 0; b < B; b++) {
            V next = twice[b] * now[b] - last[b];
            last[b] = now[b];
            now[b] = next;
        }
    }
}

template <class T, int I, int J, int K>
static void project(const Shape &shape, const T *x, const T *weight, size_t stride, int points, typename Lanes<T>::Vector *table) {
    constexpr int width = Lanes<T>::width;
    constexpr int B = (RENKEI_VECTOR_BYTES == 64 ? 4 : 2) / (K * I > 4 ? 2 : 1);
    int p = 0;
    for (; p + B * width <= points; p += B * width) project_block<T, I, J, K, B>(shape, x + p, weight + p, stride, table);
    for (; p < points; p += width) project_block<T, I, J, K, 1>(shape, x + p, weight + p, stride, table);
}

// The same for the change of the sum when x changes by dx and the weights by dweight.
template <class T, int I, int J, int K>
static void project_change(const Shape &shape, const T *x, const T *weight, const T *dx, const T *dweight, size_t stride, int points,
                           typename Lanes<T>::Vector *table) {
    typedef typename Lanes<T>::Vector V;
    const int inner = J ? J : shape.inner;
    for (int p = 0; p < points; p += Lanes<T>::width) {
        V point = Lanes<T>::load(x + p), step = Lanes<T>::load(dx + p), twice = point + point;
        V by_value[K * I], by_slope[K * I];
        V y = point, slope = Lanes<T>::all(1);
        if (I > 1)
            for (int n = J; n > 1; n /= 2) {
                slope = 4 * y * slope;
                y = 2 * y * y - 1;
            }
        V here = Lanes<T>::all(1), before = y, rise = V{}, rise_before = Lanes<T>::all(1);
        for (int i = 0; i < I; i++) {
            for (int k = 0; k < K; k++) {
                V w = Lanes<T>::load(weight + k * stride + p), dw = Lanes<T>::load(dweight + k * stride + p);
                by_value[k * I + i] = dw * here + w * step * slope * rise;
                by_slope[k * I + i] = w * step * here;
            }
            V next = 2 * y * here - before, next_rise = 2 * here + 2 * y * rise - rise_before;
            before = here;
            here = next;
            rise_before = i == 0 ? V{} : rise;
            rise = i == 0 ? Lanes<T>::all(1) : next_rise;
        }
        V now = Lanes<T>::all(1), last = point, second = V{}, second_last = Lanes<T>::all(-1);
        V *out = table;
        for (int j = 0; j < inner; j++, out += K * I) {
            V slope_j = T(j) * second;
            for (int r = 0; r < K * I; r++) out[r] += by_value[r] * now + by_slope[r] * slope_j;
            V next = twice * now - last, next_second = twice * second - second_last;
            last = now, now = next;
            second_last = second, second = next_second;
        }
    }
}

// p_k and dp_k/dx at every point of a multiple of the width. table[j][k][i]: coefficients, then j times the coefficients.
template <class T, int I, int J, int K, int B>
static inline void evaluate_block(const Shape &shape, const T *x, const T *table, T *value, T *slope, size_t stride) {
    const T *risen = table + K * shape.size();
    typedef typename Lanes<T>::Vector V;
    constexpr int width = Lanes<T>::width;
    const int inner = J ? J : shape.inner;
    V now[B], last[B], second[B], second_last[B], twice[B], sum[K * I][B], rise[K * I][B];
    for (int b = 0; b < B; b++) {
        V point = Lanes<T>::load(x + b * width);
        twice[b] = point + point;
        now[b] = Lanes<T>::all(1);
        last[b] = point;
        second[b] = V{};
        second_last[b] = Lanes<T>::all(-1);
        for (int r = 0; r < K * I; r++) sum[r][b] = rise[r][b] = V{};
    }
#pragma GCC unroll 8
    for (int j = 0; j < inner; j++, table += K * I, risen += K * I) {
        for (int r = 0; r < K * I; r++)
            for (int b = 0; b < B; b++) {
                sum[r][b] += table[r] * now[b];
                rise[r][b] += risen[r] * second[b];
            }
        for (int b = 0; b < B; b++) {
            V next = twice[b] * now[b] - last[b], next_second = twice[b] * second[b] - second_last[b];
            last[b] = now[b], now[b] = next;
            second_last[b] = second[b], second[b] = next_second;
        }
    }
    for (int b = 0; b < B; b++) {
        V y = now[b], dy = T(inner) * second[b];  // T_J and its slope J U_(J-1)
        for (int k = 0; k < K; k++) {
            V p = sum[k * I][b], q = rise[k * I][b], by_y = V{};
            V here = y, before = Lanes<T>::all(1), up = Lanes<T>::all(1), up_before = V{};
            for (int i = 1; i < I; i++) {
                p += here * sum[k * I + i][b];
                q += here * rise[k * I + i][b];
                by_y += up * sum[k * I + i][b];
                V next = 2 * y * here - before, next_up = 2 * here + 2 * y * up - up_before;
                before = here, here = next;
                up_before = up, up = next_up;
            }
            Lanes<T>::store(value + k * stride + b * width, p);
            Lanes<T>::store(slope + k * stride + b * width, I > 1 ? q + dy * by_y : q);
        }
    }
}

template <class T, int I, int J, int K>
static void evaluate(const Shape &shape, const T *x, const T *table, int points, T *value, T *slope, size_t stride) {
    constexpr int width = Lanes<T>::width;
    constexpr int B = RENKEI_VECTOR_BYTES == 64 ? (K * I > 4 ? 1 : 2) : (K * I > 2 ? 1 : 2);
    int p = 0;
    for (; p + B * width <= points; p += B * width)
        evaluate_block<T, I, J, K, B>(shape, x + p, table, value + p, slope + p, stride);
    for (; p < points; p += width) evaluate_block<T, I, J, K, 1>(shape, x + p, table, value + p, slope + p, stride);
}

// The loops for one shape and number of powers.
template <class T> struct Loops {
    typedef typename Lanes<T>::Vector V;
    void (*project)(const Shape &, const T *, const T *, size_t, int, V *);
    void (*project_change)(const Shape &, const T *, const T *, const T *, const T *, size_t, int, V *);
    void (*evaluate)(const Shape &, const T *, const T *, int, T *, T *, size_t);
};

template <class T, int N, int K> static Loops<T> loops() {
    constexpr int I = TABLES[N].outer, J = TABLES[N].inner;
    return {project<T, I, J, K>, project_change<T, I, J, K>, evaluate<T, I, J, K>};
}

template <class T, int K> static Loops<T> loops_of(int table) {
    static const Loops<T> all[] = {loops<T, 0, K>(), loops<T, 1, K>(), loops<T, 2, K>(), loops<T, 3, K>(),
                                   loops<T, 4, K>(), loops<T, 5, K>(), loops<T, 6, K>(), loops<T, 7, K>()};
    return all[table];
}

// series[m] (terms) from table sums[j][k][i] of one k: S_(Ji+j) = 2 P_ij - S_|Ji-j|
template <class T> static void unfold(const Shape &shape, int powers, int k, const T *sums, T *series) {
    for (int i = 0; i < shape.outer; i++)
        for (int j = 0; j < shape.inner; j++) {
            int m = shape.inner * i + j;
            if (m >= shape.terms) return;
            T product = sums[(j * powers + k) * shape.outer + i];
            series[m] = i == 0 || j == 0 ? product : 2 * product - series[shape.inner * i - j];
        }
}

// the transpose: derivatives by the table's sums from those by the series (terms)
template <class T> static void fold(const Shape &shape, int powers, int k, const T *series, T *table) {
    if (shape.outer == 1) {
        for (int m = 0; m < shape.terms; m++) table[m * powers + k] = series[m];
        return;
    }
    T rest[LARGEST_TERMS];
    for (int m = 0; m < shape.size(); m++) rest[m] = m < shape.terms ? series[m] : T(0);
    for (int i = shape.outer - 1; i >= 0; i--)
        for (int j = 0; j < shape.inner; j++) {
            T value = rest[shape.inner * i + j];
            if (i > 0 && j > 0) {
                rest[shape.inner * i - j] -= value;
                value *= 2;
            }
            table[(j * powers + k) * shape.outer + i] = value;
        }
}
