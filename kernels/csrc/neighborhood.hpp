// One atom's neighbourhood: gathered once, measured (features), then either pushed (forces) or followed (change of the features).
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "neighbors.hpp"
#include "series.hpp"

// A descriptor as the loops see it.
template <class T> struct Plan {
    int species, length, powers;
    double radial_cutoff, angular_cutoff;
    std::vector<int> power;
    Shape radial, angular;
    Loops<T> radial_loops, angular_loops;

    // species pairs with the same weights in all channels share one series
    struct Group {
        std::vector<std::pair<int, int>> pairs;
        std::vector<T> mix;  // (channels)
        int only;            // the one channel that it alone fills with weight 1, or -1
    };
    std::vector<Group> groups;
    int radial_channels, angular_channels;
    std::vector<T> radial_mix;  // (species, channels)
    std::vector<int> radial_only;
    std::vector<int> radial_place, angular_place;  // (channels), (powers, channels)

    bool take(const renkei_plan &from) {
        species = from.species, length = from.length, powers = from.powers;
        radial_cutoff = from.radial_cutoff, angular_cutoff = from.angular_cutoff;
        power.assign(from.power, from.power + powers);
        radial = shape_of(from.radial_terms), angular = shape_of(from.angular_terms);
        if (!radial.outer || !angular.outer || powers > 3) return false;
        radial_loops = loops_of<T, 1>(radial.outer);
        angular_loops = powers == 1   ? loops_of<T, 1>(angular.outer)
                        : powers == 2 ? loops_of<T, 2>(angular.outer)
                                      : loops_of<T, 3>(angular.outer);
        radial_channels = from.radial_channels, angular_channels = from.angular_channels;
        radial_place.assign(from.radial_place, from.radial_place + radial_channels);
        angular_place.assign(from.angular_place, from.angular_place + powers * angular_channels);
        std::vector<std::vector<T>> columns;
        for (int s = 0; s < species; s++) {
            std::vector<T> column;
            for (int c = 0; c < radial_channels; c++) column.push_back(T(from.radial_mix[c * species + s]));
            radial_mix.insert(radial_mix.end(), column.begin(), column.end());
            columns.push_back(column);
        }
        for (int s = 0; s < species; s++) radial_only.push_back(alone(columns, s));
        int count = species * (species + 1) / 2, number = 0;
        for (int a = 0; a < species; a++)
            for (int b = a; b < species; b++, number++) {
                std::vector<T> column;
                for (int c = 0; c < angular_channels; c++) column.push_back(T(from.angular_mix[c * count + number]));
                auto same = std::find_if(groups.begin(), groups.end(), [&](const Group &g) { return g.mix == column; });
                if (same == groups.end()) same = groups.insert(groups.end(), Group{{}, column, -1});
                same->pairs.push_back({a, b});
            }
        columns.clear();
        for (const Group &group : groups) columns.push_back(group.mix);
        for (size_t g = 0; g < groups.size(); g++) groups[g].only = alone(columns, int(g));
        return true;
    }

  private:
    static int alone(const std::vector<std::vector<T>> &columns, int which) {
        int found = -1;
        for (size_t c = 0; c < columns[which].size(); c++) {
            if (columns[which][c] == 0) continue;
            if (found >= 0 || columns[which][c] != 1) return -1;
            found = int(c);
        }
        for (size_t other = 0; found >= 0 && other < columns.size(); other++)
            if (int(other) != which && columns[other][found] != 0) return -1;
        return found;
    }
};

template <class T> class Neighborhood {
    typedef typename Lanes<T>::Vector V;
    static constexpr int width = Lanes<T>::width;

  public:
    explicit Neighborhood(const Plan<T> &plan) : plan_(plan) {
        begin_.resize(plan.species + 1), end_.resize(plan.species);
        near_begin_.resize(plan.species + 1), near_end_.resize(plan.species);
        column_.resize(plan.groups.size() + 1);
        radial_sums_ = plan.radial_channels * plan.radial.size();
        angular_sums_ = plan.angular_channels * plan.powers * plan.angular.size();
        own_ = std::max(plan.radial.size(), plan.powers * plan.angular.size());
        table_.need(rounded<T>(radial_sums_) + rounded<T>(angular_sums_) + own_);
        sums_.need(rounded<T>(radial_sums_) + rounded<T>(angular_sums_) + 2 * own_ + width);
        series_.need(std::max(plan.radial.terms, plan.angular.terms) + 1);
    }

    // Neighbours of atom i within the cut-off, with unit vectors, cut-off values and cosines.
    void gather(const renkei_list &list, const double *positions, int64_t i) {
        center_ = i;
        size_t room = size_t(list.start[i + 1] - list.start[i]) + size_t(plan_.species + 1) * width;
        pair_.need(room * PAIR_ROWS);
        near_.need(room * NEAR_ROWS);
        atom_.need(room), origin_.need(room);
        stride_ = room;
        const double *here = positions + 3 * i;
        double bound = plan_.radial_cutoff * plan_.radial_cutoff;
        T *dx = row(DX), *dy = row(DY), *dz = row(DZ), *square = row(R);
        int32_t *atom = atom_.data;
        const double hx = here[0], hy = here[1], hz = here[2];
        int count = 0;
        begin_[0] = 0;
        const Neighbor *one = list.neighbors.data() + list.start[i];
        for (int s = 0; s < plan_.species; s++) {
            const Neighbor *last = list.neighbors.data() + list.ends[i * plan_.species + s];
            for (; one < last; one++) {
                const double *there = positions + 3 * size_t(one->atom), *shift = list.shifts[one->shift].data();
                double x = there[0] - hx + shift[0], y = there[1] - hy + shift[1], z = there[2] - hz + shift[2];
                double r2 = x * x + y * y + z * z;
                dx[count] = T(x), dy[count] = T(y), dz[count] = T(z), square[count] = T(r2);
                atom[count] = one->atom;
                count += r2 < bound;
            }
            count = close(s, count);
        }
        count_ = count;
        measure_pairs();
        gather_near();
        gather_triplets();
    }

    // Features (length), added up over the neighbours.
    void features(T *result) {
        clear();
        for (int s = 0; s < plan_.species; s++)
            add(plan_.radial, 1, radial_table(), plan_.radial_channels, &plan_.radial_mix[size_t(s) * plan_.radial_channels],
                plan_.radial_only[s], end_[s] > begin_[s], [&](V *table) {
                    plan_.radial_loops.project(plan_.radial, row(X) + begin_[s], row(F) + begin_[s], stride_, begin_[s + 1] - begin_[s], table);
                });
        for (size_t g = 0; g < plan_.groups.size(); g++) add_angular(g, [&](V *table, int low, int points) {
                plan_.angular_loops.project(plan_.angular, triplet(COS) + low, weights() + low, triplets_, points, table);
            });
        unmix(result);
    }

    // Derivatives of the energy by the features -> forces (atoms, 3) and virial (9).
    void push(const T *gradient, double *forces, double *virial) {
        fold_channels(gradient);
        push_radial();
        for (size_t g = 0; g < plan_.groups.size(); g++) push_angles(g);
        spread();
        collect(forces, virial);
    }

    // Change of the features (length) when atoms move along direction (atoms, 3).
    void follow(const double *direction, T *result) {
        move(direction);
        clear();
        for (int s = 0; s < plan_.species; s++)
            add(plan_.radial, 1, radial_table(), plan_.radial_channels, &plan_.radial_mix[size_t(s) * plan_.radial_channels],
                plan_.radial_only[s], end_[s] > begin_[s], [&](V *table) {
                    plan_.radial_loops.project_change(plan_.radial, row(X) + begin_[s], row(F) + begin_[s], row(VX) + begin_[s],
                                                      row(BY_R) + begin_[s], stride_, begin_[s + 1] - begin_[s], table);
                });
        for (size_t g = 0; g < plan_.groups.size(); g++) add_angular(g, [&](V *table, int low, int points) {
                plan_.angular_loops.project_change(plan_.angular, triplet(COS) + low, weights() + low, triplet(BY_COS) + low,
                                                   changes() + low, triplets_, points, table);
            });
        unmix(result);
    }

  private:
    // of a neighbour: vector, distance and its inverse, unit vector, 2 r / R - 1, cut-off value and slope, derivatives
    enum { DX, DY, DZ, R, INVERSE, UX, UY, UZ, X, F, SLOPE, BY_R, VX, VY, VZ, PAIR_ROWS };
    // of one within the angular cut-off: unit vector, cut-off value and slope, sums over its triplets (or its motion)
    enum { NX, NY, NZ, G, G_SLOPE, BY_G, WX, WY, WZ, NEAR_ROWS };
    // of a triplet: cosine, weight, derivatives by them (or their changes); then rows of powers
    enum { COS, WEIGHT, BY_COS, BY_WEIGHT, TRIPLET_ROWS };

    const Plan<T> &plan_;
    int64_t center_ = 0;
    int count_ = 0, near_count_ = 0, radial_sums_, angular_sums_, own_;
    size_t stride_ = 0, triplets_ = 0;
    std::vector<int> begin_, end_, near_begin_, near_end_, column_;
    Room<T> pair_, near_, triplet_, sums_, series_, fours_, folded_;
    Room<V> table_;
    Room<int32_t> atom_, origin_;

    T *row(int which) { return pair_.data + size_t(which) * stride_; }
    T *near(int which) { return near_.data + size_t(which) * stride_; }
    T *triplet(int which) { return triplet_.data + size_t(which) * triplets_; }
    T *weights() { return plan_.powers == 1 && plan_.power[0] == 1 ? triplet(WEIGHT) : triplet(TRIPLET_ROWS); }  // (powers) rows
    T *changes() { return triplet(TRIPLET_ROWS + plan_.powers); }                                                // (powers) rows
    V *radial_table() { return table_.data; }
    V *angular_table() { return table_.data + rounded<T>(radial_sums_); }
    V *own_table() { return angular_table() + rounded<T>(angular_sums_); }

    // End the run of a species: pad it to a whole vector with neighbours that count nothing.
    int close(int kind, int count) {
        end_[kind] = count;
        for (; count % width; count++) {
            row(DX)[count] = row(DY)[count] = row(DZ)[count] = 0;
            row(R)[count] = T(plan_.radial_cutoff * plan_.radial_cutoff);
            atom_[count] = -1;
        }
        begin_[kind + 1] = count;
        return count;
    }

    // value = (1 + cos(pi r / R)) / 2 and its slope; 0 from R on. z = 2 r / R - 1, cos(pi r / R) = -sin(pi z / 2).
    static void cutoff(const T *distance, int count, double radius, T *value, T *slope) {
        constexpr int terms = sizeof(T) == 4 ? 6 : 11;
        constexpr double half = M_PI / 2;
        T scale = T(2 / radius), rate = T(-0.5 * M_PI / radius);
#pragma GCC ivdep
        for (int q = 0; q < count; q++) {
            T z = distance[q] * scale - 1;
            z = z > 1 ? T(1) : z;
            T y = z * z, sine = 1, cosine = 1;
            for (int n = terms; n > 0; n--) {
                sine = 1 - y * sine * T(half * half / ((2 * n) * (2 * n + 1)));
                cosine = 1 - y * cosine * T(half * half / ((2 * n - 1) * (2 * n)));
            }
            T inside = z < 1 ? T(1) : T(0);
            value[q] = inside * T(0.5) * (1 - T(half) * z * sine);
            slope[q] = inside * rate * cosine;
        }
    }

    void measure_pairs() {
        T *r = row(R), *inverse = row(INVERSE);
        const T *dx = row(DX), *dy = row(DY), *dz = row(DZ);
        T *ux = row(UX), *uy = row(UY), *uz = row(UZ), *x = row(X);
        T scale = T(2 / plan_.radial_cutoff);
#pragma GCC ivdep
        for (int q = 0; q < count_; q++) {
            T distance = std::sqrt(r[q]), one_over = 1 / distance;
            r[q] = distance, inverse[q] = one_over;
            ux[q] = dx[q] * one_over, uy[q] = dy[q] * one_over, uz[q] = dz[q] * one_over;
            x[q] = distance * scale - 1;
        }
        cutoff(r, count_, plan_.radial_cutoff, row(F), row(SLOPE));
        for (int s = 0; s < plan_.species; s++)
            for (int q = end_[s]; q < begin_[s + 1]; q++) row(F)[q] = row(SLOPE)[q] = 0;
    }

    void gather_near() {
        const T *r = row(R), *ux = row(UX), *uy = row(UY), *uz = row(UZ);
        T *x = near(NX), *y = near(NY), *z = near(NZ), *distance = near(WX);
        T bound = T(plan_.angular_cutoff);
        int count = 0;
        near_begin_[0] = 0;
        for (int s = 0; s < plan_.species; s++) {
            for (int q = begin_[s]; q < end_[s]; q++) {
                x[count] = ux[q], y[count] = uy[q], z[count] = uz[q], distance[count] = r[q];
                origin_[count] = q;
                count += r[q] < bound;
            }
            near_end_[s] = count;
            for (; count % width; count++) x[count] = y[count] = z[count] = 0, distance[count] = bound;
            near_begin_[s + 1] = count;
        }
        near_count_ = count;
        cutoff(distance, count, plan_.angular_cutoff, near(G), near(G_SLOPE));
        for (int s = 0; s < plan_.species; s++)
            for (int q = near_end_[s]; q < near_begin_[s + 1]; q++) near(G)[q] = near(G_SLOPE)[q] = 0;
        for (T *array : {x, y, z, near(G)}) Lanes<T>::store(array + count, V{});  // unaligned runs read beyond the last one
    }

    void gather_triplets() {
        size_t inside = 0;
        for (int s = 0; s < plan_.species; s++) inside += near_end_[s] - near_begin_[s];
        size_t room = (inside * inside / 2 + (plan_.groups.size() + 2) * width + width) / width * width;
        triplets_ = room;
        triplet_.need(room * (TRIPLET_ROWS + 2 * plan_.powers));
        T *cosines = triplet(COS), *weight = triplet(WEIGHT);
        int at = 0;
        for (size_t g = 0; g < plan_.groups.size(); g++) {
            column_[g] = at;
            each_run(g, [&](int j, int k, int last) RENKEI_INLINE {
                const T *x = near(NX), *y = near(NY), *z = near(NZ), *f = near(G);
                V jx = Lanes<T>::all(x[j]), jy = Lanes<T>::all(y[j]), jz = Lanes<T>::all(z[j]), jf = Lanes<T>::all(f[j]);
                for (int q = k; q < last; q += width) {
                    V cosine = jz * Lanes<T>::load(z + q) + (jy * Lanes<T>::load(y + q) + jx * Lanes<T>::load(x + q));
                    Lanes<T>::store(cosines + at + q - k, cosine);
                    Lanes<T>::store(weight + at + q - k, jf * Lanes<T>::load(f + q));
                }
                at += last - k;
            });
            Lanes<T>::store(cosines + at, V{});
            Lanes<T>::store(weight + at, V{});
            at = rounded<T>(at);
        }
        column_[plan_.groups.size()] = at;
        raise_weights(at);
    }

    // the rows of weight ** power
    void raise_weights(int points) {
        if (weights() == triplet(WEIGHT)) return;
        const T *weight = triplet(WEIGHT);
        for (int k = 0; k < plan_.powers; k++) {
            T *raised = weights() + size_t(k) * triplets_;
            for (int t = 0; t < points; t++) raised[t] = weight[t];
            for (int n = 1; n < plan_.power[k]; n++)
                for (int t = 0; t < points; t++) raised[t] *= weight[t];
        }
    }

    // What to do with (j, first k, end of the k) for all triplets of a group, in the order in which they are stored.
    template <class Do> void each_run(size_t g, Do act) {
        for (auto [a, b] : plan_.groups[g].pairs)
            for (int j = near_begin_[a]; j < near_end_[a]; j++) {
                int k = a == b ? j + 1 : near_begin_[b], last = near_end_[b];
                if (k < last) act(j, k, last);
            }
    }

    void clear() { std::fill(table_.data, table_.data + rounded<T>(radial_sums_) + rounded<T>(angular_sums_), V{}); }

    // One series into the tables of its channels.
    template <class Fill>
    void add(const Shape &shape, int powers, V *channels, int count, const T *mix, int only, bool any, Fill fill) {
        if (!any) return;
        int size = powers * shape.size();
        if (only >= 0) return fill(channels + only * size);
        V *own = own_table();
        std::fill(own, own + size, V{});
        fill(own);
        for (int c = 0; c < count; c++)
            if (mix[c] != 0)
                for (int k = 0; k < size; k++) channels[c * size + k] += mix[c] * own[k];
    }

    template <class Fill> void add_angular(size_t g, Fill fill) {
        const auto &group = plan_.groups[g];
        int low = column_[g], points = column_[g + 1] - low;
        add(plan_.angular, plan_.powers, angular_table(), plan_.angular_channels, group.mix.data(), group.only, points > 0,
            [&](V *table) { fill(table, low, points); });
    }

    // Tables -> features in their order.
    void unmix(T *result) {
        T *radial = sums_.data, *angular = radial + rounded<T>(radial_sums_);
        sum_lanes<T>(radial_table(), radial_sums_, radial);
        sum_lanes<T>(angular_table(), angular_sums_, angular);
        for (int c = 0; c < plan_.radial_channels; c++) unfold(plan_.radial, 1, 0, radial + c * plan_.radial.size(), result + plan_.radial_place[c]);
        for (int c = 0; c < plan_.angular_channels; c++)
            for (int k = 0; k < plan_.powers; k++)
                unfold(plan_.angular, plan_.powers, k, angular + c * plan_.powers * plan_.angular.size(),
                       result + plan_.angular_place[k * plan_.angular_channels + c]);
    }

    // Tables of the channels from dE/dG: {coefficient, j * coefficient}, radial then angular.
    void fold_channels(const T *gradient) {
        int radial = 2 * plan_.radial.size(), angular = 2 * plan_.powers * plan_.angular.size();
        folded_.need(size_t(plan_.radial_channels) * radial + size_t(plan_.angular_channels) * angular);
        T *table = folded_.data;
        for (int c = 0; c < plan_.radial_channels; c++, table += radial) {
            std::copy_n(gradient + plan_.radial_place[c], plan_.radial.terms, series_.data);
            fold(plan_.radial, 1, 0, series_.data, table);
        }
        for (int c = 0; c < plan_.angular_channels; c++, table += angular)
            for (int k = 0; k < plan_.powers; k++) {
                std::copy_n(gradient + plan_.angular_place[k * plan_.angular_channels + c], plan_.angular.terms, series_.data);
                fold(plan_.angular, plan_.powers, k, series_.data, table);
            }
    }

    // The table of one species or group out of those of the channels.
    const T *mixed(const T *tables, int size, int channels, const T *mix, int only) {
        if (only >= 0) return tables + only * size;
        T *result = sums_.data;
        std::fill(result, result + size, T(0));
        for (int c = 0; c < channels; c++)
            if (mix[c] != 0)
                for (int k = 0; k < size; k++) result[k] += mix[c] * tables[c * size + k];
        return result;
    }

    void push_radial() {
        T *value = row(VX), *slope = row(VY), scale = T(2 / plan_.radial_cutoff);
        for (int s = 0; s < plan_.species; s++) {
            int low = begin_[s], points = begin_[s + 1] - low;
            if (points == 0) continue;
            const T *table = mixed(folded_.data, 2 * plan_.radial.size(), plan_.radial_channels,
                                   &plan_.radial_mix[size_t(s) * plan_.radial_channels], plan_.radial_only[s]);
            plan_.radial_loops.evaluate(plan_.radial, row(X) + low, table, points, value + low, slope + low, stride_);
        }
        const T *f = row(F), *df = row(SLOPE);
        T *by = row(BY_R);
#pragma GCC ivdep
        for (int q = 0; q < count_; q++) by[q] = df[q] * value[q] + f[q] * slope[q] * scale;
    }

    // dE/dcos and dE/dweight of a group's triplets
    void push_angles(size_t g) {
        const auto &group = plan_.groups[g];
        int low = column_[g], points = column_[g + 1] - low;
        if (points == 0) return;
        const T *coefficients = mixed(folded_.data + 2 * size_t(radial_sums_), 2 * plan_.powers * plan_.angular.size(),
                                      plan_.angular_channels, group.mix.data(), group.only);
        bool plain = weights() == triplet(WEIGHT);  // then the series is dE/dweight itself
        T *value = (plain ? triplet(BY_WEIGHT) : changes()) + low, *slope = triplet(TRIPLET_ROWS) + low;
        const T *weight = triplet(WEIGHT) + low;
        T *by_cosine = triplet(BY_COS) + low, *by_weight = triplet(BY_WEIGHT) + low;
        if (plain) {
            plan_.angular_loops.evaluate(plan_.angular, triplet(COS) + low, coefficients, points, value, by_cosine, triplets_);
#pragma GCC ivdep
            for (int t = 0; t < points; t++) by_cosine[t] *= weight[t];
            return;
        }
        // the rows of raised weights are overwritten by the slopes: they are not needed any more
        plan_.angular_loops.evaluate(plan_.angular, triplet(COS) + low, coefficients, points, value, slope, triplets_);
        for (int k = 0; k < plan_.powers; k++) {
            const T *p = value + size_t(k) * triplets_, *q = slope + size_t(k) * triplets_;
            T power = T(plan_.power[k]);
            int exponent = plan_.power[k];
#pragma GCC ivdep
            for (int t = 0; t < points; t++) {
                T lower = 1;
                for (int n = 1; n < exponent; n++) lower *= weight[t];
                T first = power * lower * p[t], second = lower * weight[t] * q[t];
                by_weight[t] = k ? by_weight[t] + first : first;
                by_cosine[t] = k ? by_cosine[t] + second : second;
            }
        }
    }

    // sums over the triplets of each near neighbour: by its cut-off value, and by its unit vector
    void spread() {
        for (int which : {BY_G, WX, WY, WZ}) std::fill(near(which), near(which) + near_count_, T(0));
        fours_.need(4 * size_t(near_count_) + 16);
        std::fill(fours_.data, fours_.data + 4 * size_t(near_count_) + 16, T(0));
        for (size_t g = 0; g < plan_.groups.size(); g++) {
            size_t at = column_[g];
            for (auto [a, b] : plan_.groups[g].pairs) {
                int left = near_end_[a] - near_begin_[a], right = near_end_[b] - near_begin_[b];
                for (int q = near_begin_[b]; q < near_end_[b]; q += width) spread_block(a, b, at, q);
                at += a == b ? size_t(left) * (left - 1) / 2 : size_t(left) * right;
            }
        }
        for (int n = 0; n < near_count_; n++) {
            near(BY_G)[n] += fours_[4 * n], near(WX)[n] += fours_[4 * n + 1];
            near(WY)[n] += fours_[4 * n + 2], near(WZ)[n] += fours_[4 * n + 3];
        }
    }

    // the same for the triplets of one species pair, which begin at `at`, with the second neighbours q .. q + width
    void spread_block(int a, int b, size_t at, int q) {
        const T *x = near(NX), *y = near(NY), *z = near(NZ), *f = near(G);
        T *sums[4] = {near(BY_G), near(WX), near(WY), near(WZ)};
        const T *by_weight = triplet(BY_WEIGHT) + at, *by_cosine = triplet(BY_COS) + at;
        V kx = Lanes<T>::load(x + q), ky = Lanes<T>::load(y + q), kz = Lanes<T>::load(z + q), kf = Lanes<T>::load(f + q);
        V by_k[4] = {V{}, V{}, V{}, V{}};
        int first = near_begin_[a], last = near_end_[b] - q;  // lanes beyond it are padding
        int end = a == b ? std::min(near_end_[a], q + width - 1) : near_end_[a];
        std::ptrdiff_t place = q - (a == b ? first + 1 : near_begin_[b]);  // of lane 0, for the first j
        std::ptrdiff_t step = a == b ? near_end_[a] - first - 2 : near_end_[b] - near_begin_[b];
        for (int j = first; j < end; j += 4) {
            V by_j[16];
            for (int n = 0; n < 4; n++, place += step, step -= a == b) {
                if (j + n >= end) {
                    for (int k = 0; k < 4; k++) by_j[4 * n + k] = V{};
                    continue;
                }
                V p = Lanes<T>::load(by_weight + place), c = Lanes<T>::load(by_cosine + place);
                int low = a == b ? j + n + 1 - q : 0;
                if (low > 0 || last < width) {
                    p = Lanes<T>::between(p, low, last);
                    c = Lanes<T>::between(c, low, last);
                }
                by_k[0] += p * f[j + n], by_k[1] += c * x[j + n], by_k[2] += c * y[j + n], by_k[3] += c * z[j + n];
                by_j[4 * n] = p * kf, by_j[4 * n + 1] = c * kx, by_j[4 * n + 2] = c * ky, by_j[4 * n + 3] = c * kz;
            }
            T total[16], *fours = fours_.data + 4 * j;
            sum_lanes<T>(by_j, 16, total);
            for (int k = 0; k < 16; k += width) Lanes<T>::store(fours + k, Lanes<T>::load(fours + k) + Lanes<T>::load(total + k));
        }
        for (int k = 0; k < 4; k++) Lanes<T>::store(sums[k] + q, Lanes<T>::load(sums[k] + q) + by_k[k]);
    }

    void collect(double *forces, double *virial) {
        T *vx = row(VX), *vy = row(VY), *vz = row(VZ), *by = row(BY_R);
        std::fill(vx, vx + count_, T(0));
        std::fill(vy, vy + count_, T(0));
        std::fill(vz, vz + count_, T(0));
        for (int s = 0; s < plan_.species; s++)
            for (int n = near_begin_[s]; n < near_end_[s]; n++) {
                int q = origin_[n];
                by[q] += near(G_SLOPE)[n] * near(BY_G)[n];
                vx[q] = near(WX)[n], vy[q] = near(WY)[n], vz[q] = near(WZ)[n];
            }
        const T *ux = row(UX), *uy = row(UY), *uz = row(UZ), *inverse = row(INVERSE);
#pragma GCC ivdep
        for (int q = 0; q < count_; q++) {  // dE/d vector
            T along = by[q] - (ux[q] * vx[q] + uy[q] * vy[q] + uz[q] * vz[q]) * inverse[q];
            vx[q] = along * ux[q] + vx[q] * inverse[q];
            vy[q] = along * uy[q] + vy[q] * inverse[q];
            vz[q] = along * uz[q] + vz[q] * inverse[q];
        }
        const T *dx = row(DX), *dy = row(DY), *dz = row(DZ);
        double total[3] = {0, 0, 0}, stress[9] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
        for (int s = 0; s < plan_.species; s++)
            for (int q = begin_[s]; q < end_[s]; q++) {
                double x = vx[q], y = vy[q], z = vz[q], at[3] = {double(dx[q]), double(dy[q]), double(dz[q])};
                double *force = forces + 3 * size_t(atom_[q]);
                force[0] -= x, force[1] -= y, force[2] -= z;
                total[0] += x, total[1] += y, total[2] += z;
                for (int a = 0; a < 3; a++) stress[3 * a] += at[a] * x, stress[3 * a + 1] += at[a] * y, stress[3 * a + 2] += at[a] * z;
            }
        for (int a = 0; a < 3; a++) forces[3 * center_ + a] += total[a];
        for (int k = 0; k < 9; k++) virial[k] -= stress[k];
    }

    // how distances, unit vectors, cut-offs, cosines and weights change along a direction
    void move(const double *direction) {
        T *longer = row(BY_R), *vx = row(VX), *vy = row(VY), *vz = row(VZ);
        const T *ux = row(UX), *uy = row(UY), *uz = row(UZ), *inverse = row(INVERSE);
        std::fill(longer, longer + count_, T(0));
        std::fill(vx, vx + count_, T(0));
        std::fill(vy, vy + count_, T(0));
        std::fill(vz, vz + count_, T(0));
        const double *here = direction + 3 * center_;
        for (int s = 0; s < plan_.species; s++)
            for (int q = begin_[s]; q < end_[s]; q++) {
                const double *there = direction + 3 * size_t(atom_[q]);
                T x = T(there[0] - here[0]), y = T(there[1] - here[1]), z = T(there[2] - here[2]);
                T along = ux[q] * x + uy[q] * y + uz[q] * z;
                longer[q] = along;
                vx[q] = (x - along * ux[q]) * inverse[q], vy[q] = (y - along * uy[q]) * inverse[q], vz[q] = (z - along * uz[q]) * inverse[q];
            }
        for (int n = 0; n < near_count_; n++) near(BY_G)[n] = near(WX)[n] = near(WY)[n] = near(WZ)[n] = 0;
        for (int s = 0; s < plan_.species; s++)
            for (int n = near_begin_[s]; n < near_end_[s]; n++) {
                int q = origin_[n];
                near(BY_G)[n] = near(G_SLOPE)[n] * longer[q];
                near(WX)[n] = vx[q], near(WY)[n] = vy[q], near(WZ)[n] = vz[q];
            }
        T scale = T(2 / plan_.radial_cutoff);
        const T *slope = row(SLOPE);
        for (int q = 0; q < count_; q++) {  // now: change of 2 r / R - 1, and of the cut-off value
            vx[q] = longer[q] * scale;
            longer[q] *= slope[q];
        }
        move_triplets();
    }

    void move_triplets() {
        const T *x = near(NX), *y = near(NY), *z = near(NZ), *f = near(G), *df = near(BY_G);
        const T *wx = near(WX), *wy = near(WY), *wz = near(WZ);
        T *by_cosine = triplet(BY_COS), *by_weight = triplet(BY_WEIGHT);
        std::fill(by_cosine, by_cosine + column_[plan_.groups.size()], T(0));
        std::fill(by_weight, by_weight + column_[plan_.groups.size()], T(0));
        for (size_t g = 0; g < plan_.groups.size(); g++) {
            int at = column_[g];
            each_run(g, [&](int j, int k, int last) RENKEI_INLINE {
                for (int q = k; q < last; q++, at++) {
                    by_cosine[at] = (wx[j] * x[q] + wy[j] * y[q] + wz[j] * z[q]) + (wx[q] * x[j] + wy[q] * y[j] + wz[q] * z[j]);
                    by_weight[at] = df[j] * f[q] + f[j] * df[q];
                }
            });
        }
        const T *weight = triplet(WEIGHT);
        for (int k = 0; k < plan_.powers; k++) {
            T *change = changes() + size_t(k) * triplets_;
            for (int t = 0; t < column_[plan_.groups.size()]; t++) {
                T lower = T(plan_.power[k]);
                for (int n = 1; n < plan_.power[k]; n++) lower *= weight[t];
                change[t] = lower * by_weight[t];
            }
        }
    }
};
