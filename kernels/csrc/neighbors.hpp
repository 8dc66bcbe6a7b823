// Lists of neighbours with a skin, kept from call to call while no atom has moved too far.
//
// The list is a superset, in an order that depends on the pair alone: (species, atom, image) of the neighbour. Whoever reads it
// drops what lies beyond the cut-off, and so gets the same bits from a new list, an old one, or one shared by a batch.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "renkei_kernels.h"

struct Neighbor {
    int32_t atom, shift;  // place in `shifts`
};

// A list that someone keeps; the arrays are those of renkei_list.
struct Near {
    const int64_t *start, *ends;
    const Neighbor *neighbors;
    const std::array<double, 3> *shifts;
};

struct renkei_list {
    std::vector<int64_t> start;       // (atoms + 1)
    std::vector<int64_t> ends;        // (atoms, species) end of the neighbours of a species
    std::vector<Neighbor> neighbors;  // sorted by species within an atom
    std::vector<std::array<double, 3>> shifts;  // what is added to the neighbour's position, A

    // Make the list good for structures first..last; returns false if it was still good.
    bool update(const renkei_system &system, int species, double cutoff, int64_t first, int64_t last, double skin = SKIN);

    Near near() const { return {start.data(), ends.data(), neighbors.data(), shifts.data()}; }

    static constexpr double SKIN = 0.5;  // A, added to what the batch itself spans

  private:
    std::vector<double> reference_;  // (atoms, 3) the positions that the list was made for
    std::vector<int32_t> kinds_;
    std::array<double, 9> vectors_{};
    std::array<int32_t, 3> periodic_{};
    double cutoff_ = 0, margin_ = -1;  // margin: how far an atom may be from its reference, A

    bool still_good(const renkei_system &system, double cutoff, int64_t first, int64_t last) const;
    double spread(const renkei_system &system, int64_t first, int64_t last) const;
    void build(const renkei_system &system, int species, double reach);
};
