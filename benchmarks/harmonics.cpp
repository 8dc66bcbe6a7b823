// The angular sums of one atom by triplets, as kernels/csrc has them, beside the same sums by spherical harmonics (harmonics.py).
//
// sum_{j<k} w_j w_k P_l(u_j u_k) = (|c_l|^2 - sum_j w_j^2) / 2, with c_lm = sum_j w_j Y_lm(u_j) and Y normalised so that
// P_l(u v) = sum_m Y_lm(u) Y_lm(v). Y_lm = q_lm(z) Re or Im (x + i y)^m, q_lm = N_lm d^m P_l / dz^m, so the slope of q_lm is q_l,m+1.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#define private public  // the parts of a neighbourhood that concern triplets are timed alone
#include "neighborhood.hpp"
#undef private

// One atom's neighbours by species, each species padded to whole vectors with weights of zero.
template <class T> struct Harmonics {
    typedef typename Lanes<T>::Vector V;
    static constexpr int width = Lanes<T>::width;
    static constexpr int MOST = RENKEI_VECTOR_BYTES == 64 ? 4 : 2;  // vectors of neighbours at once

    int order, powers, species, entries;  // entries: (l, m >= 0) with m outside
    std::vector<T> rise, fall, first, step;  // of the recurrences in l, the first of each m, d q_lm / dz over q_l,m+1
    Room<V> table;
    Room<T> sums, by_sums, by_slopes;
    std::vector<T> powered, by_powered, x, y, z, by_x, by_y, by_z;  // (powers, points), (points)

    Harmonics(int order, int powers, int species) : order(order), powers(powers), species(species), entries((order + 1) * (order + 2) / 2) {
        auto norm = [](int l, int m) {
            double ratio = m ? 2 : 1;
            for (int n = l - m + 1; n <= l + m; n++) ratio /= n;
            return std::sqrt(ratio);
        };
        for (int m = 0; m <= order; m++) {
            double odd = 1;
            for (int n = 1; n < 2 * m; n += 2) odd *= n;
            first.push_back(T(norm(m, m) * odd));
            for (int l = m; l <= order; l++) {
                rise.push_back(l == m ? T(0) : T((2.0 * l - 1) / (l - m) * norm(l, m) / norm(l - 1, m)));
                fall.push_back(l <= m + 1 ? T(0) : T((l + m - 1.0) / (l - m) * norm(l, m) / norm(l - 2, m)));
                step.push_back(l > m ? T(norm(l, m) / norm(l, m + 1)) : T(0));
            }
        }
        table.need(stride()), sums.need(species * stride()), by_sums.need(species * stride()), by_slopes.need(species * stride());
    }

    int at(int m) const { return m * (order + 1) - m * (m - 1) / 2; }  // entry of (m, m)
    size_t plane() const { return rounded<T>(entries); }  // of the cosines of a power, or the sines
    size_t stride() const { return 2 * powers * plane(); }

    // c_lm of one species: a plane of cosines for each power, then those of sines
    template <int K, int B> void gather(size_t p, size_t points) {
        V a[B], b[B], here[B], before[B], wa[K][B], wb[K][B];
        for (int n = 0; n < B; n++) a[n] = Lanes<T>::all(1), b[n] = V{};
        for (int m = 0, e = 0; m <= order; m++) {
            for (int n = 0; n < B; n++) {
                here[n] = Lanes<T>::all(first[m]), before[n] = V{};
                for (int k = 0; k < K; k++) {
                    V w = Lanes<T>::load(&powered[k * points + p + n * width]);
                    wa[k][n] = w * a[n], wb[k][n] = w * b[n];
                }
            }
            for (int l = m; l <= order; l++, e++) {
                V *into = &table[e];
                if (l > m)
                    for (int n = 0; n < B; n++) {
                        V next = rise[e] * Lanes<T>::load(&z[p + n * width]) * here[n] - fall[e] * before[n];
                        before[n] = here[n], here[n] = next;
                    }
                for (int k = 0; k < K; k++) {
                    V cosine = into[k * plane()], sine = into[(K + k) * plane()];
                    for (int n = 0; n < B; n++) cosine += here[n] * wa[k][n], sine += here[n] * wb[k][n];
                    into[k * plane()] = cosine, into[(K + k) * plane()] = sine;
                }
            }
            for (int n = 0; n < B; n++) {
                V px = Lanes<T>::load(&x[p + n * width]), py = Lanes<T>::load(&y[p + n * width]);
                V turned = a[n] * px - b[n] * py;
                b[n] = a[n] * py + b[n] * px, a[n] = turned;
            }
        }
    }

    // dE/dw and dE/d(x, y, z) of the points out of dE/dc (and dE/dc of the entry before times its step)
    template <int K, int B> void spread(size_t p, size_t points, const T *by, const T *by_step) {
        V a[B], b[B], a_last[B], b_last[B], gx[B], gy[B], gz[B], value[K][B], here[B], before[B];
        for (int n = 0; n < B; n++) {
            a[n] = Lanes<T>::all(1), b[n] = a_last[n] = b_last[n] = gx[n] = gy[n] = gz[n] = V{};
            for (int k = 0; k < K; k++) value[k][n] = V{};
        }
        for (int m = 0, e = 0; m <= order; m++) {
            V c[K][B], s[K][B], dc[K][B], ds[K][B];
            for (int n = 0; n < B; n++) {
                here[n] = Lanes<T>::all(first[m]), before[n] = V{};
                for (int k = 0; k < K; k++) c[k][n] = s[k][n] = dc[k][n] = ds[k][n] = V{};
            }
            for (int l = m; l <= order; l++, e++) {
                const T *own = by + e, *slope = by_step + e;
                if (l > m)
                    for (int n = 0; n < B; n++) {
                        V next = rise[e] * Lanes<T>::load(&z[p + n * width]) * here[n] - fall[e] * before[n];
                        before[n] = here[n], here[n] = next;
                    }
                for (int k = 0; k < K; k++)
                    for (int n = 0; n < B; n++) {
                        c[k][n] += own[k * plane()] * here[n], s[k][n] += own[(K + k) * plane()] * here[n];
                        dc[k][n] += slope[k * plane()] * here[n], ds[k][n] += slope[(K + k) * plane()] * here[n];
                    }
            }
            for (int n = 0; n < B; n++) {
                V along = V{}, across = V{}, px = Lanes<T>::load(&x[p + n * width]), py = Lanes<T>::load(&y[p + n * width]);
                for (int k = 0; k < K; k++) {
                    V w = Lanes<T>::load(&powered[k * points + p + n * width]);
                    value[k][n] += a[n] * c[k][n] + b[n] * s[k][n];
                    along += w * c[k][n], across += w * s[k][n];
                    gz[n] += w * (a_last[n] * dc[k][n] + b_last[n] * ds[k][n]);  // those of m - 1
                }
                gx[n] += T(m) * (a_last[n] * along + b_last[n] * across);
                gy[n] += T(m) * (a_last[n] * across - b_last[n] * along);
                V turned = a[n] * px - b[n] * py;
                a_last[n] = a[n], b_last[n] = b[n];
                b[n] = a[n] * py + b[n] * px, a[n] = turned;
            }
        }
        for (int n = 0; n < B; n++) {
            size_t q = p + n * width;
            Lanes<T>::store(&by_x[q], gx[n]), Lanes<T>::store(&by_y[q], gy[n]), Lanes<T>::store(&by_z[q], gz[n]);
            for (int k = 0; k < K; k++) Lanes<T>::store(&by_powered[k * points + q], value[k][n]);
        }
    }

    // act.template operator()<B>(first point) over the points of one species
    template <class Act> static void blocks(size_t low, size_t high, Act act) {
        size_t p = low;
        for (; p + MOST * width <= high; p += MOST * width) act.template operator()<MOST>(p);
        if constexpr (MOST > 2)
            for (; p + 2 * width <= high; p += 2 * width) act.template operator()<2>(p);
        for (; p < high; p += width) act.template operator()<1>(p);
    }

    struct Gather {
        Harmonics *h;
        size_t points;
        template <int B> void operator()(size_t p) { h->powers == 1 ? h->gather<1, B>(p, points) : h->gather<2, B>(p, points); }
    };
    struct Spread {
        Harmonics *h;
        size_t points;
        const T *by, *step;
        template <int B> void operator()(size_t p) { h->powers == 1 ? h->spread<1, B>(p, points, by, step) : h->spread<2, B>(p, points, by, step); }
    };

    // values[(group, k, l)] of all pairs of species a <= b, the energy sum by_values * values, and its slopes in by_*
    void run(const std::vector<int> &begin, const std::vector<T> &by_values, std::vector<T> &values) {
        size_t points = begin.back();
        for (int s = 0; s < species; s++) {
            std::fill(table.data, table.data + stride(), V{});
            blocks(begin[s], begin[s + 1], Gather{this, points});
            sum_lanes<T>(table.data, int(stride()), sums.data + s * stride());
        }
        std::fill(by_sums.data, by_sums.data + species * stride(), T(0));
        std::fill(values.begin(), values.end(), T(0));
        std::vector<T> own(size_t(species) * powers, T(0));  // of the terms with j = k
        int group = 0;
        for (int a = 0; a < species; a++)
            for (int b = a; b < species; b++, group++) contract(a, b, group, begin, by_values, values, own);
        for (int s = 0; s < species; s++) {
            for (int n = 0; n < 2 * powers; n++) {
                const T *from = by_sums.data + s * stride() + n * plane();
                T *to = by_slopes.data + s * stride() + n * plane();
                std::fill(to, to + order + 1, T(0));
                for (int m = 1; m <= order; m++)
#pragma GCC ivdep
                    for (int l = m; l <= order; l++) to[at(m) + l - m] = from[at(m - 1) + l - m + 1] * step[at(m - 1) + l - m + 1];
            }
            blocks(begin[s], begin[s + 1], Spread{this, points, by_sums.data + s * stride(), by_slopes.data + s * stride()});
            for (int k = 0; k < powers; k++)
                for (int q = begin[s]; q < begin[s + 1]; q++) by_powered[k * points + q] -= own[s * powers + k] * powered[k * points + q];
        }
    }

    void contract(int a, int b, int group, const std::vector<int> &begin, const std::vector<T> &by_values, std::vector<T> &values,
                  std::vector<T> &own) {
        const T *ca = sums.data + a * stride(), *cb = sums.data + b * stride(), half = a == b ? T(0.5) : T(1);
        T *ga = by_sums.data + a * stride(), *gb = by_sums.data + b * stride();
        for (int n = 0; n < 2 * powers; n++, ca += plane(), cb += plane(), ga += plane(), gb += plane()) {
            size_t row = (size_t(group) * powers + n % powers) * (order + 1);
            for (int m = 0; m <= order; m++) {
                const int first = at(m);
#pragma GCC ivdep
                for (int l = m; l <= order; l++) {
                    T by = half * by_values[row + l], left = ca[first + l - m], right = cb[first + l - m];
                    values[row + l] += half * left * right;
                    ga[first + l - m] += by * right;
                    if (a != b) gb[first + l - m] += by * left;
                    else ga[first + l - m] += by * left;
                }
            }
        }
        for (int k = 0; a == b && k < powers; k++) {
            T square = 0, total = 0;
            for (int q = begin[a]; q < begin[a + 1]; q++) square += powered[k * begin.back() + q] * powered[k * begin.back() + q];
            for (int l = 0; l <= order; l++) {
                size_t place = (size_t(group) * powers + k) * (order + 1) + l;
                values[place] -= square / 2;
                total += by_values[place];
            }
            own[a * powers + k] = total;
        }
    }
};

constexpr double CUTOFF_A = 4.0;

struct Case {
    int order, powers, species, neighbours;  // one power: 1; two: 1 and 3
};

// Shortest times of a call of each in microseconds, in turns, so that both see the same machine.
template <class First, class Second> std::array<double, 2> shortest(First first, Second second) {
    std::array<double, 2> best{1e9, 1e9};
    auto timed = [](auto &act) {
        auto began = std::chrono::steady_clock::now();
        for (int n = 0; n < 20; n++) act();
        return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count() / 20;
    };
    auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(80);
    for (int turn = 0; turn < 20 || std::chrono::steady_clock::now() < until; turn++)
        best = {std::min(best[0], timed(first)), std::min(best[1], timed(second))};
    return best;
}

// A descriptor with one radial term; angular_place: first feature of each (power, group).
template <class T> Plan<T> plan_of(const Case &c) {
    int groups = c.species * (c.species + 1) / 2, terms = c.order + 1;
    std::vector<int32_t> power{1, 3}, radial_place, angular_place;
    std::vector<double> radial_mix(c.species * c.species, 0.0), angular_mix(groups * groups, 0.0);
    for (int s = 0; s < c.species; s++) radial_mix[s * c.species + s] = 1, radial_place.push_back(s);
    for (int g = 0; g < groups; g++) angular_mix[g * groups + g] = 1;
    for (int n = 0; n < c.powers * groups; n++) angular_place.push_back(c.species + n * terms);
    renkei_plan given{c.species, 1, terms, c.powers, c.species, groups, c.species + c.powers * groups * terms, CUTOFF_A, CUTOFF_A,
                      power.data(), radial_mix.data(), angular_mix.data(), radial_place.data(), angular_place.data()};
    Plan<T> plan;
    if (!plan.take(given)) std::exit(2);
    return plan;
}

// An atom with neighbours at random, about as many of each species: their positions (the atom's own first) and its list.
std::vector<double> neighbours_of(const Case &c, std::mt19937 &draw, renkei_list &list) {
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> distance(1.5, CUTOFF_A - 0.1);
    std::vector<double> positions(3, 0.0);
    list.shifts.push_back({0, 0, 0});
    list.start = {0};
    for (int s = 0; s < c.species; s++) {
        for (int n = c.neighbours * s / c.species; n < c.neighbours * (s + 1) / c.species; n++) {
            double v[3] = {normal(draw), normal(draw), normal(draw)};
            double scale = distance(draw) / std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
            list.neighbors.push_back({int32_t(positions.size() / 3), 0});
            for (double coordinate : v) positions.push_back(coordinate * scale);
        }
        list.ends.push_back(int64_t(list.neighbors.size()));
    }
    list.start.push_back(int64_t(list.neighbors.size()));
    return positions;
}

// (terms, terms): P_l = sum_m row_l[m] T_m, by x T_m = (T_m+1 + T_|m-1|) / 2
std::vector<double> legendre_of(int terms) {
    std::vector<double> all(size_t(terms) * terms, 0.0);
    for (int l = 0; l < terms; l++) {
        double *row = &all[size_t(l) * terms];
        if (l < 2) row[l] = 1;
        for (int m = 0; l > 1 && m < l; m++) {
            double part = (2.0 * l - 1) / l * row[m - terms] / 2;
            row[m + 1] += part, row[std::abs(m - 1)] += part;
        }
        for (int m = 0; m <= l - 2; m++) row[m] -= (l - 1.0) / l * row[m - 2 * terms];
    }
    return all;
}

template <class T> void compare(const Case &c, const char *precision) {
    std::mt19937 draw(1);
    std::normal_distribution<double> normal;
    Plan<T> plan = plan_of<T>(c);
    renkei_list list;
    std::vector<double> positions = neighbours_of(c, draw, list);
    Neighborhood<T> around(plan);
    around.gather(list, positions.data(), 0);

    // one energy of the sums, as coefficients of P_l and of T_m
    int terms = c.order + 1, groups = c.species * (c.species + 1) / 2;
    std::vector<T> by_values(size_t(groups) * c.powers * terms), values(by_values.size());
    std::vector<T> by_features(plan.length, T(0)), by_sums(plan.tables()), features(plan.length);
    std::vector<double> legendre = legendre_of(terms);
    for (size_t n = 0; n < by_values.size(); n++) {
        by_values[n] = T(normal(draw));
        size_t g = n / (c.powers * terms), k = n / terms % c.powers, l = n % terms;
        T *place = &by_features[plan.angular_place[k * groups + g]];
        for (size_t m = 0; m <= l; m++) place[m] += T(by_values[n] * legendre[l * terms + m]);
    }
    plan.fold(by_features.data(), by_sums.data());

    Harmonics<T> harmonics(c.order, c.powers, c.species);
    size_t points = size_t(around.near_begin_[c.species]);
    auto copied = [&](int row) { return std::vector<T>(around.near(row), around.near(row) + points); };
    harmonics.x = copied(around.NX), harmonics.y = copied(around.NY), harmonics.z = copied(around.NZ);
    std::vector<T> f = copied(around.G), by_f(points);
    harmonics.by_x = harmonics.by_y = harmonics.by_z = f;
    harmonics.powered.resize(c.powers * points), harmonics.by_powered.resize(c.powers * points);

    const T *sums = nullptr;
    auto project = [&](int low, int points, typename Lanes<T>::Vector *table) {
        const T *x = around.triplet(around.COS) + low, *weight = around.weights() + low;
        plan.angular_loops.project(plan.angular, x, weight, around.triplets_, points, table);
    };
    auto by_triplets = [&] {
        around.gather_triplets();
        sums = around.all_series([](int, int, typename Lanes<T>::Vector *) {}, project);
        for (size_t g = 0; g < plan.groups.size(); g++) around.push_angles(g, by_sums.data() + plan.angular_begin());
        around.spread();
    };
    auto by_harmonics = [&] {
        for (size_t q = 0; q < points; q++) {
            harmonics.powered[q] = f[q];
            if (c.powers == 2) harmonics.powered[points + q] = f[q] * f[q] * f[q];
        }
        harmonics.run(around.near_begin_, by_values, values);
        for (size_t q = 0; q < points; q++)
            by_f[q] = harmonics.by_powered[q] + (c.powers == 2 ? 3 * f[q] * f[q] * harmonics.by_powered[points + q] : T(0));
    };
    std::array<double, 2> took = shortest(by_triplets, by_harmonics);

    plan.unfold(sums, features.data());
    double energy = 0, other = 0, worst = 0, most = 0;  // of tangential slopes and slopes by the cut-off value
    for (size_t n = 0; n < by_values.size(); n++) energy += double(by_values[n]) * values[n];
    for (int n = c.species; n < plan.length; n++) other += double(by_features[n]) * features[n];
    for (size_t q = 0; q < points; q++) {
        if (f[q] == 0) continue;
        const T *four = around.fours_.data + 4 * q;
        double u[3] = {harmonics.x[q], harmonics.y[q], harmonics.z[q]}, off[3], along = 0;
        const T *mine[4] = {&by_f[q], &harmonics.by_x[q], &harmonics.by_y[q], &harmonics.by_z[q]};
        const int theirs[4] = {around.BY_G, around.WX, around.WY, around.WZ};
        for (int a = 0; a < 4; a++) {
            double slope = around.near(theirs[a])[q] + four[a];
            most = std::max(most, std::fabs(slope));
            if (a == 0) worst = std::max(worst, std::fabs(slope - *mine[0]));
            else off[a - 1] = *mine[a] - slope, along += u[a - 1] * off[a - 1];
        }
        for (int a = 0; a < 3; a++) worst = std::max(worst, std::fabs(off[a] - along * u[a]));
    }
    worst = std::max(worst / most, std::fabs(energy - other) / (std::fabs(energy) + most));
    std::printf("%s %d %d %d %d %.4f %.4f %.1e\n", precision, c.order, c.powers, c.species, c.neighbours, took[0], took[1], worst);
}

// words: order powers species neighbours, once or more. A line each: precision and these, us by triplets and by harmonics, difference.
int main(int count, char **words) {
    for (int n = 1; n + 3 < count; n += 4) {
        Case c{std::atoi(words[n]), std::atoi(words[n + 1]), std::atoi(words[n + 2]), std::atoi(words[n + 3])};
        compare<float>(c, "float32");
        compare<double>(c, "float64");
    }
}
