// A descriptor as the loops see it: which series there are, and how the sums of their tables (series.hpp) make the features.
#pragma once

#include <algorithm>
#include <vector>

#include "renkei_kernels.h"
#include "series.hpp"

template <class T> struct Plan {
    int species, length, powers;
    bool splines;  // of which species and species pairs have a channel each, in their order
    double radial_cutoff, angular_cutoff;
    std::vector<int> power;
    Shape radial, angular;
    Loops<T> radial_loops, angular_loops;

    // species pairs with the same weights in all channels share one series
    struct Group {
        std::vector<std::pair<int, int>> pairs;
        std::vector<T> mix;  // (channels)
    };
    std::vector<Group> groups;
    int radial_channels, angular_channels;
    std::vector<T> radial_mix;                       // (species, channels)
    std::vector<T> radial_order, angular_order;      // of a table's entries: j of table[j][k][i]
    std::vector<int> radial_place, angular_place;    // (channels), (powers, channels)

    int radial_size() const { return radial.size(); }  // of one channel's table
    int angular_size() const { return powers * angular.size(); }
    int angular_begin() const { return rounded<T>(radial_channels * radial_size()); }
    int tables() const { return angular_begin() + rounded<T>(angular_channels * angular_size()); }  // all channels', with padding

    // Features (length) from the sums (tables()).
    void unfold(const T *sums, T *features) const {
        for (int c = 0; c < radial_channels; c++) ::unfold(radial, 1, 0, sums + c * radial_size(), features + radial_place[c]);
        sums += angular_begin();
        for (int c = 0; c < angular_channels; c++)
            for (int k = 0; k < powers; k++)
                if (splines)
                    ::unfold(angular, 1, 0, sums + c * angular_size() + k * angular.terms, features + angular_place[k * angular_channels + c]);
                else
                    ::unfold(angular, powers, k, sums + c * angular_size(), features + angular_place[k * angular_channels + c]);
    }

    // The transpose: derivatives by the sums from those by the features.
    template <class R> void fold(const R *by_features, R *by_sums) const {
        std::fill(by_sums, by_sums + tables(), R(0));
        for (int c = 0; c < radial_channels; c++) ::fold(radial, 1, 0, by_features + radial_place[c], by_sums + c * radial_size());
        by_sums += angular_begin();
        for (int c = 0; c < angular_channels; c++)
            for (int k = 0; k < powers; k++)
                if (splines)
                    ::fold(angular, 1, 0, by_features + angular_place[k * angular_channels + c], by_sums + c * angular_size() + k * angular.terms);
                else
                    ::fold(angular, powers, k, by_features + angular_place[k * angular_channels + c], by_sums + c * angular_size());
    }

    // false if the orders are beyond the loops
    bool take(const renkei_plan &from) {
        species = from.species, length = from.length, powers = from.powers;
        radial_cutoff = from.radial_cutoff, angular_cutoff = from.angular_cutoff;
        power.assign(from.power, from.power + powers);
        splines = from.basis == 1;
        if (splines) {
            radial = {from.radial_terms, 1, from.radial_terms}, angular = {from.angular_terms, 1, from.angular_terms};
            if (std::min(radial.terms, angular.terms) < 4) return false;
        } else {
            int far = table_for(from.radial_terms), near = table_for(from.angular_terms);
            if (far < 0 || near < 0 || powers > 3) return false;
            radial = shape_of(from.radial_terms), angular = shape_of(from.angular_terms);
            radial_loops = loops_of<T, 1>(far);
            angular_loops = powers == 1 ? loops_of<T, 1>(near) : powers == 2 ? loops_of<T, 2>(near) : loops_of<T, 3>(near);
        }
        for (int q = 0; q < radial_size(); q++) radial_order.push_back(T(q / radial.outer));
        for (int q = 0; q < angular_size(); q++) angular_order.push_back(T(q / (powers * angular.outer)));
        radial_channels = from.radial_channels, angular_channels = from.angular_channels;
        radial_place.assign(from.radial_place, from.radial_place + radial_channels);
        angular_place.assign(from.angular_place, from.angular_place + powers * angular_channels);
        for (int s = 0; s < species; s++)
            for (int c = 0; c < radial_channels; c++) radial_mix.push_back(T(from.radial_mix[c * species + s]));
        int count = species * (species + 1) / 2, number = 0;
        for (int a = 0; a < species; a++)
            for (int b = a; b < species; b++, number++) {
                std::vector<T> mix;
                for (int c = 0; c < angular_channels; c++) mix.push_back(T(from.angular_mix[c * count + number]));
                auto same = std::find_if(groups.begin(), groups.end(), [&](const Group &g) { return g.mix == mix; });
                if (same == groups.end()) same = groups.insert(groups.end(), Group{{}, mix});
                same->pairs.push_back({a, b});
            }
        return !splines || own_channels();
    }

  private:
    bool own_channels() const {
        if (radial_channels != species || angular_channels != int(groups.size())) return false;
        for (int s = 0; s < species; s++)
            for (int c = 0; c < species; c++)
                if (radial_mix[s * species + c] != T(s == c)) return false;
        for (int g = 0; g < angular_channels; g++)
            for (int c = 0; c < angular_channels; c++)
                if (groups[g].mix[c] != T(g == c)) return false;
        return true;
    }
};
