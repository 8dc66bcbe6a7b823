// One atom's neighbourhood: gathered once, then measured (sums of the tables), pushed (forces), or followed (change of the sums).
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "neighbors.hpp"
#include "network.hpp"
#include "plan.hpp"
#include "splines.hpp"

template <class T> class Neighborhood {
    typedef typename Lanes<T>::Vector V;
    static constexpr int width = Lanes<T>::width;
    static constexpr int at_once = RENKEI_VECTOR_BYTES == 64 ? 4 : 2;  // first neighbours whose sums stay in registers

  public:
    explicit Neighborhood(const Plan<T> &plan) : plan_(plan) {
        begin_.resize(plan.species + 1), end_.resize(plan.species);
        near_begin_.resize(plan.species + 1), near_end_.resize(plan.species);
        column_.resize(plan.groups.size() + 1);
        pair_at_.resize(plan.species * plan.species);
        size_t most = rounded<T>(std::max(plan.radial_size(), plan.angular_size()));
        table_.need(most), own_.need(most), coefficients_.need(2 * most);
        sums_.need(plan.tables());
        if (!plan.splines) return;
        splines_ = std::make_unique<SplineSums<T>>(std::max(plan.radial_size(), plan.angular_size()), plan.tables());
        std::fill(sums_.data, sums_.data + plan.tables(), T(0));  // padding stays so
    }

    // Neighbours of atom i within the cut-off, with unit vectors, cut-off values and cosines.
    void gather(const Near &list, const double *positions, int64_t i) {
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
        const Neighbor *one = list.neighbors + list.start[i];
        for (int s = 0; s < plan_.species; s++) {
            const Neighbor *last = list.neighbors + list.ends[i * plan_.species + s];
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
        if (plan_.splines) locate_points();
    }

    // Sums of all channels' tables (plan.tables()); they hold until the next call.
    const T *sums() {
        if (plan_.splines)
            return all_splines([&](int low, int points, int at) {
                splines_->sum(row(X) + low, pair_first_.data + low, row(F) + low, stride_, plan_.radial.terms, 1, points, sums_.data + at);
            }, [&](int low, int points, int at) {
                splines_->sum(triplet(COS) + low, triplet_first_.data + low, weights() + low, triplets_, plan_.angular.terms, plan_.powers,
                              points, sums_.data + at);
            });
        return all_series([&](int low, int points, V *table) {
            plan_.radial_loops.project(plan_.radial, row(X) + low, row(F) + low, stride_, points, table);
        }, [&](int low, int points, V *table) {
            plan_.angular_loops.project(plan_.angular, triplet(COS) + low, weights() + low, triplets_, points, table);
        });
    }

    // Derivatives of the energy by the sums -> forces (atoms, 3) and virial (9).
    void push(const T *by_sums, double *forces, double *virial) {
        push_radial(by_sums);
        for (size_t g = 0; g < plan_.groups.size(); g++) push_angles(g, by_sums + plan_.angular_begin());
        spread();
        collect(forces, virial);
    }

    // Half of the two-body energy with every neighbour (kernels/baseline.py); forces and virial are added.
    // repulsion, attraction: (species), of the centre with each species.
    double push_pairs(const T *repulsion, const T *attraction, double cutoff, double *forces, double *virial) {
        const T *r = row(R), *inverse = row(INVERSE), *ux = row(UX), *uy = row(UY), *uz = row(UZ);
        T *value = row(BY_R), *vx = row(VX), *vy = row(VY), *vz = row(VZ);
        const T half = T(0.5 * cutoff), over = T(2 / cutoff);
        double energy = 0;
        for (int s = 0; s < plan_.species; s++) {
            const T a = repulsion[s], b = attraction[s];
            const int last = begin_[s + 1];
#pragma GCC ivdep
            for (int q = begin_[s]; q < last; q++) {
                T u = (r[q] - half) * over;
                u = u < 0 ? T(0) : u;
                u = u > 1 ? T(1) : u;
                T rest = u * (u - 1), switched = 1 + u * u * u * (u * (15 - 6 * u) - 10), fall = -30 * over * rest * rest;
                T sixth = inverse[q] * inverse[q] * inverse[q];
                sixth *= sixth;
                T bare = (a * sixth - b) * sixth, slope = (6 * b - 12 * a * sixth) * sixth * inverse[q];
                T push = T(0.5) * (slope * switched + bare * fall);
                value[q] = bare * switched;
                vx[q] = push * ux[q], vy[q] = push * uy[q], vz[q] = push * uz[q];
            }
            for (int q = begin_[s]; q < end_[s]; q++) energy += 0.5 * double(value[q]);
        }
        scatter(forces, virial);
        return energy;
    }

    // The same of splines without those sums that no point sees.
    Inputs<T> parts() {
        splines_->clear();
        all_splines([&](int low, int points, int at) {
            splines_->list(row(X) + low, pair_first_.data + low, row(F) + low, stride_, plan_.radial.terms, 1, points, at);
        }, [&](int low, int points, int at) {
            splines_->list(triplet(COS) + low, triplet_first_.data + low, weights() + low, triplets_, plan_.angular.terms, plan_.powers,
                           points, at);
        });
        return {splines_->values(), splines_->places(), splines_->count()};
    }

    // Change of the sums when atoms move along direction (atoms, 3), and every vector to a neighbour by strain (3, 3) times itself too,
    // if there is one.
    const T *follow(const double *direction, const double *strain = nullptr) {
        move(direction, strain);
        if (plan_.splines)
            return all_splines([&](int low, int points, int at) {
                splines_->sum_change(row(X) + low, pair_first_.data + low, row(F) + low, row(VX) + low, row(BY_R) + low, stride_,
                                     plan_.radial.terms, 1, points, sums_.data + at);
            }, [&](int low, int points, int at) {
                splines_->sum_change(triplet(COS) + low, triplet_first_.data + low, weights() + low, triplet(BY_COS) + low, changes() + low,
                                     triplets_, plan_.angular.terms, plan_.powers, points, sums_.data + at);
            });
        return all_series([&](int low, int points, V *table) {
            plan_.radial_loops.project_change(plan_.radial, row(X) + low, row(F) + low, row(VX) + low, row(BY_R) + low, stride_, points, table);
        }, [&](int low, int points, V *table) {
            plan_.angular_loops.project_change(plan_.angular, triplet(COS) + low, weights() + low, triplet(BY_COS) + low, changes() + low,
                                               triplets_, points, table);
        });
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
    int count_ = 0, near_count_ = 0;
    size_t stride_ = 0, triplets_ = 0;
    std::vector<int> begin_, end_, near_begin_, near_end_;
    std::vector<int> column_, pair_at_;  // first triplet of a group (groups + 1), of a pair (species, species)
    Room<T> pair_, near_, triplet_, sums_, own_, coefficients_, fours_;
    Room<V> table_;
    Room<int32_t> atom_, origin_;
    Room<int32_t> pair_first_, triplet_first_;  // for splines: the points' intervals
    std::unique_ptr<SplineSums<T>> splines_;

    T *row(int which) { return pair_.data + size_t(which) * stride_; }
    T *near(int which) { return near_.data + size_t(which) * stride_; }
    T *triplet(int which) { return triplet_.data + size_t(which) * triplets_; }
    T *weights() { return plan_.powers == 1 && plan_.power[0] == 1 ? triplet(WEIGHT) : triplet(TRIPLET_ROWS); }  // (powers) rows
    T *changes() { return triplet(TRIPLET_ROWS + plan_.powers); }                                                // (powers) rows

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
            int before = at;
            for (auto [a, b] : plan_.groups[g].pairs) {
                int left = near_end_[a] - near_begin_[a], right = near_end_[b] - near_begin_[b];
                pair_at_[a * plan_.species + b] = before;
                before += a == b ? left * (left - 1) / 2 : left * right;
            }
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

    // for splines: X and COS become places in intervals
    void locate_points() {
        int triplets = column_[plan_.groups.size()];
        pair_first_.need(count_), triplet_first_.need(triplets);
        locate(plan_.radial.terms, count_, row(X), pair_first_.data);
        locate(plan_.angular.terms, triplets, triplet(COS), triplet_first_.data);
    }

    // Sums of splines, by radial(first point, points, first sum) for each species and angular(...) for each group.
    template <class Radial, class Angular> const T *all_splines(Radial radial, Angular angular) {
        for (int s = 0; s < plan_.species; s++) radial(begin_[s], begin_[s + 1] - begin_[s], s * plan_.radial_size());
        for (int g = 0; g < int(plan_.groups.size()); g++)
            angular(column_[g], column_[g + 1] - column_[g], plan_.angular_begin() + g * plan_.angular_size());
        return sums_.data;
    }

    // Every series, summed over its points by radial(first point, points, table) or angular(...), into all channels.
    template <class Radial, class Angular> const T *all_series(Radial radial, Angular angular) {
        std::fill(sums_.data, sums_.data + plan_.tables(), T(0));
        for (int s = 0; s < plan_.species; s++)
            add(begin_[s], end_[s], begin_[s + 1], plan_.radial_size(), &plan_.radial_mix[size_t(s) * plan_.radial_channels],
                plan_.radial_channels, sums_.data, radial);
        for (size_t g = 0; g < plan_.groups.size(); g++)
            add(column_[g], column_[g + 1], column_[g + 1], plan_.angular_size(), plan_.groups[g].mix.data(), plan_.angular_channels,
                sums_.data + plan_.angular_begin(), angular);
        return sums_.data;
    }

    template <class Fill> void add(int low, int end, int padded, int size, const T *mix, int channels, T *into, Fill fill) {
        if (end == low) return;
        int room = rounded<T>(size);
        std::fill(table_.data, table_.data + room, V{});
        fill(low, padded - low, table_.data);
        sum_lanes<T>(table_.data, room, own_.data);
        for (int c = 0; c < channels; c++, into += size)
            if (mix[c] != 0)
                for (int k = 0; k < size; k++) into[k] += mix[c] * own_.data[k];
    }

    // The coefficients of one species or group, and j times them, out of the derivatives by the channels' sums.
    const T *mixed(const T *by_sums, int size, const std::vector<T> &order, const T *mix, int channels) {
        T *result = coefficients_.data, *risen = result + size;
        std::fill(result, result + size, T(0));
        for (int c = 0; c < channels; c++, by_sums += size)
            if (mix[c] != 0)
                for (int k = 0; k < size; k++) result[k] += mix[c] * by_sums[k];
#pragma GCC ivdep
        for (int k = 0; k < size; k++) risen[k] = order[k] * result[k];
        return result;
    }

    void push_radial(const T *by_sums) {
        T *value = row(VX), *slope = row(VY), scale = T(2 / plan_.radial_cutoff);
        for (int s = 0; s < plan_.species; s++) {
            int low = begin_[s], points = begin_[s + 1] - low;
            if (points == 0) continue;
            if (plan_.splines) {
                evaluate_splines(row(X) + low, pair_first_.data + low, by_sums + s * plan_.radial_size(), plan_.radial.terms, 1, points,
                                 value + low, slope + low, stride_);
                continue;
            }
            const T *table = mixed(by_sums, plan_.radial_size(), plan_.radial_order,
                                   &plan_.radial_mix[size_t(s) * plan_.radial_channels], plan_.radial_channels);
            plan_.radial_loops.evaluate(plan_.radial, row(X) + low, table, points, value + low, slope + low, stride_);
        }
        const T *f = row(F), *df = row(SLOPE);
        T *by = row(BY_R);
#pragma GCC ivdep
        for (int q = 0; q < count_; q++) by[q] = df[q] * value[q] + f[q] * slope[q] * scale;
    }

    // the series of a group and their slopes at its triplets' cosines, in (powers) rows
    void angular_series(size_t g, const T *by_sums, T *value, T *slope) {
        int low = column_[g], points = column_[g + 1] - low, size = plan_.angular_size();
        if (plan_.splines) {
            evaluate_splines(triplet(COS) + low, triplet_first_.data + low, by_sums + g * size, plan_.angular.terms, plan_.powers, points,
                             value, slope, triplets_);
            return;
        }
        const T *coefficients = mixed(by_sums, size, plan_.angular_order, plan_.groups[g].mix.data(), plan_.angular_channels);
        plan_.angular_loops.evaluate(plan_.angular, triplet(COS) + low, coefficients, points, value, slope, triplets_);
    }

    // dE/dcos and dE/dweight of a group's triplets
    void push_angles(size_t g, const T *by_sums) {
        int low = column_[g], points = column_[g + 1] - low;
        if (points == 0) return;
        bool plain = weights() == triplet(WEIGHT);  // then the series is dE/dweight itself
        T *value = (plain ? triplet(BY_WEIGHT) : changes()) + low, *slope = triplet(TRIPLET_ROWS) + low;
        const T *weight = triplet(WEIGHT) + low;
        T *by_cosine = triplet(BY_COS) + low, *by_weight = triplet(BY_WEIGHT) + low;
        if (plain) {
            angular_series(g, by_sums, value, by_cosine);
#pragma GCC ivdep
            for (int t = 0; t < points; t++) by_cosine[t] *= weight[t];
            return;
        }
        // the rows of raised weights are overwritten by the slopes: they are not needed any more
        angular_series(g, by_sums, value, slope);
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

    // Sums over the triplets of each near neighbour: by its cut-off value, and by its unit vector. As the second of a pair it has them
    // in rows, as the first in `fours_`.
    void spread() {
        for (int which : {BY_G, WX, WY, WZ}) std::fill(near(which), near(which) + near_count_, T(0));
        fours_.need(4 * size_t(near_count_) + 4 * at_once);
        for (int a = 0; a < plan_.species; a++)
            for (int j = near_begin_[a]; j < near_end_[a]; j += at_once) {
                V by_j[4 * at_once] = {};
                for (int b = a; b < plan_.species; b++) {
                    int first = a == b ? near_begin_[a] + (j + 1 - near_begin_[a]) / width * width : near_begin_[b];
                    for (int q = first; q < near_end_[b]; q += width) {
                        bool edge = q + width > near_end_[b] || j + at_once > near_end_[a] || (a == b && j + at_once > q);
                        if (edge)
                            spread_block<true>(a, b, j, q, by_j);
                        else
                            spread_block<false>(a, b, j, q, by_j);
                    }
                }
                V four[4 * at_once];
                for (int k = 0; k < 4 * at_once; k++) four[k] = by_j[k];
                sum_lanes<T>(four, 4 * at_once, fours_.data + 4 * size_t(j));
            }
    }

    // The same for the triplets of j .. j + at_once with the second neighbours q .. q + width; at an edge some are not there.
    template <bool edge> RENKEI_INLINE void spread_block(int a, int b, int j, int q, V (&by_j)[4 * at_once]) {
        const T *x = near(NX) + j, *y = near(NY) + j, *z = near(NZ) + j, *f = near(G) + j;
        T *sums[4] = {near(BY_G) + q, near(WX) + q, near(WY) + q, near(WZ) + q};
        V kx = Lanes<T>::load(near(NX) + q), ky = Lanes<T>::load(near(NY) + q), kz = Lanes<T>::load(near(NZ) + q);
        V kf = Lanes<T>::load(near(G) + q), by_k[4] = {};
        std::ptrdiff_t row = j - near_begin_[a], left = near_end_[a] - near_begin_[a], right = near_end_[b] - near_begin_[b];
        std::ptrdiff_t place = pair_at_[a * plan_.species + b] + q - near_begin_[b];  // of lane 0
        place += a == b ? row * left - row * (row + 3) / 2 - 1 : row * right;
        std::ptrdiff_t step = a == b ? left - row - 2 : right, less = a == b;
        const T *by_weight = triplet(BY_WEIGHT), *by_cosine = triplet(BY_COS);
#pragma GCC unroll 4
        for (int n = 0; n < at_once; n++, place += step, step -= less) {
            V p, c;
            if (edge) {
                int low = a == b ? j + n + 1 - q : 0, high = j + n < near_end_[a] ? near_end_[b] - q : 0;
                if (low >= high) continue;
                p = Lanes<T>::between(Lanes<T>::load(by_weight + place), low, high);
                c = Lanes<T>::between(Lanes<T>::load(by_cosine + place), low, high);
            } else {
                p = Lanes<T>::load(by_weight + place);
                c = Lanes<T>::load(by_cosine + place);
            }
            by_k[0] += p * f[n], by_k[1] += c * x[n], by_k[2] += c * y[n], by_k[3] += c * z[n];
            by_j[4 * n] += p * kf, by_j[4 * n + 1] += c * kx, by_j[4 * n + 2] += c * ky, by_j[4 * n + 3] += c * kz;
        }
        for (int k = 0; k < 4; k++) Lanes<T>::store(sums[k], Lanes<T>::load(sums[k]) + by_k[k]);
    }

    void collect(double *forces, double *virial) {
        T *vx = row(VX), *vy = row(VY), *vz = row(VZ), *by = row(BY_R);
        for (T *array : {vx, vy, vz}) std::fill(array, array + count_, T(0));
        for (int s = 0; s < plan_.species; s++)
            for (int n = near_begin_[s]; n < near_end_[s]; n++) {
                int q = origin_[n];
                const T *four = fours_.data + 4 * n;
                by[q] += near(G_SLOPE)[n] * (near(BY_G)[n] + four[0]);
                vx[q] = near(WX)[n] + four[1], vy[q] = near(WY)[n] + four[2], vz[q] = near(WZ)[n] + four[3];
            }
        const T *ux = row(UX), *uy = row(UY), *uz = row(UZ), *inverse = row(INVERSE);
#pragma GCC ivdep
        for (int q = 0; q < count_; q++) {  // dE/d vector
            T along = by[q] - (ux[q] * vx[q] + uy[q] * vy[q] + uz[q] * vz[q]) * inverse[q];
            vx[q] = along * ux[q] + vx[q] * inverse[q];
            vy[q] = along * uy[q] + vy[q] * inverse[q];
            vz[q] = along * uz[q] + vz[q] * inverse[q];
        }
        scatter(forces, virial);
    }

    // dE/d vector of every neighbour -> forces and virial
    void scatter(double *forces, double *virial) {
        const T *vx = row(VX), *vy = row(VY), *vz = row(VZ);
        for (int s = 0; s < plan_.species; s++)
            for (int q = begin_[s]; q < end_[s]; q++) {
                double *force = forces + 3 * size_t(atom_[q]);
                force[0] -= double(vx[q]), force[1] -= double(vy[q]), force[2] -= double(vz[q]);
            }
        sum_over_neighbors(forces + 3 * center_, virial);
    }

    // What the neighbours push, back on the centre; and the virial. Padding has a vector of zeros.
    void sum_over_neighbors(double *force, double *virial) {
        V sums[rounded<T>(12)] = {};
        const T *d[3] = {row(DX), row(DY), row(DZ)}, *v[3] = {row(VX), row(VY), row(VZ)};
        for (int q = 0; q < count_; q += width) {
            V by[3] = {Lanes<T>::load(v[0] + q), Lanes<T>::load(v[1] + q), Lanes<T>::load(v[2] + q)};
            for (int a = 0; a < 3; a++) {
                V at = Lanes<T>::load(d[a] + q);
                for (int b = 0; b < 3; b++) sums[3 * a + b] += at * by[b];
                sums[9 + a] += by[a];
            }
        }
        T total[rounded<T>(12)];
        sum_lanes<T>(sums, rounded<T>(12), total);
        for (int k = 0; k < 9; k++) virial[k] -= double(total[k]);
        for (int a = 0; a < 3; a++) force[a] += double(total[9 + a]);
    }

    // how distances, unit vectors, cut-offs, cosines and weights change along a direction and a strain
    void move(const double *direction, const double *strain) {
        T *longer = row(BY_R), *vx = row(VX), *vy = row(VY), *vz = row(VZ);
        const T *ux = row(UX), *uy = row(UY), *uz = row(UZ), *inverse = row(INVERSE);
        const T *dx = row(DX), *dy = row(DY), *dz = row(DZ);
        T e[9] = {};
        if (strain) std::copy(strain, strain + 9, e);
        std::fill(longer, longer + count_, T(0));
        std::fill(vx, vx + count_, T(0));
        std::fill(vy, vy + count_, T(0));
        std::fill(vz, vz + count_, T(0));
        const double *here = direction + 3 * center_;
        for (int s = 0; s < plan_.species; s++)
            for (int q = begin_[s]; q < end_[s]; q++) {
                const double *there = direction + 3 * size_t(atom_[q]);
                T x = T(there[0] - here[0]), y = T(there[1] - here[1]), z = T(there[2] - here[2]);
                if (strain) {
                    x += e[0] * dx[q] + e[1] * dy[q] + e[2] * dz[q];
                    y += e[3] * dx[q] + e[4] * dy[q] + e[5] * dz[q];
                    z += e[6] * dx[q] + e[7] * dy[q] + e[8] * dz[q];
                }
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
