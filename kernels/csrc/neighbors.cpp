#include "neighbors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace {

constexpr int64_t ONE_BIN_ATOMS = 100;

struct Candidate {
    int32_t kind, atom;
    std::array<int32_t, 3> image;
    bool operator<(const Candidate &other) const {
        if (kind != other.kind) return kind < other.kind;
        if (atom != other.atom) return atom < other.atom;
        return image < other.image;
    }
};

// Atoms sorted into bins of fractional coordinates.
struct Bins {
    std::array<int64_t, 3> count{1, 1, 1}, reach{0, 0, 0};
    std::vector<int64_t> head, member;
    std::vector<std::array<int32_t, 3>> where, offset;  // offset: whole cells taken off to get inside

    Bins(const renkei_system &system, const std::vector<double> &positions, double cutoff) {
        int64_t atoms = system.atoms;
        std::vector<std::array<double, 3>> fractional(atoms);
        std::array<double, 3> low{0, 0, 0}, width{1, 1, 1};
        offset.resize(atoms);
        where.resize(atoms);
        for (int axis = 0; axis < 3; axis++) {
            double least = INFINITY, most = -INFINITY;
            for (int64_t i = 0; i < atoms; i++) {
                double value = 0;
                for (int k = 0; k < 3; k++) value += positions[3 * i + k] * system.inverse[3 * k + axis];
                offset[i][axis] = system.periodic[axis] ? int32_t(std::floor(value)) : 0;
                fractional[i][axis] = value - offset[i][axis];
                least = std::min(least, fractional[i][axis]);
                most = std::max(most, fractional[i][axis]);
            }
            if (!system.periodic[axis]) {
                low[axis] = least;
                width[axis] = most - least;
            }
            double extent = width[axis] * system.heights[axis], edge = cutoff * (1 + 1e-9);
            int64_t limit = int64_t(std::cbrt(double(atoms))) + 1;
            if (atoms > ONE_BIN_ATOMS) count[axis] = std::max<int64_t>(1, std::min(limit, int64_t(2 * extent / edge)));
            if (system.periodic[axis] || count[axis] > 1) reach[axis] = int64_t(std::ceil(edge * count[axis] / extent));
        }
        head.assign(count[0] * count[1] * count[2] + 1, 0);
        for (int64_t i = 0; i < atoms; i++) {
            for (int axis = 0; axis < 3; axis++) {
                double place = count[axis] > 1 ? (fractional[i][axis] - low[axis]) / width[axis] * count[axis] : 0;
                where[i][axis] = int32_t(std::min<int64_t>(std::max<int64_t>(int64_t(place), 0), count[axis] - 1));
            }
            head[number(where[i]) + 1]++;
        }
        for (size_t b = 1; b < head.size(); b++) head[b] += head[b - 1];
        std::vector<int64_t> free(head);
        member.resize(atoms);
        for (int64_t i = 0; i < atoms; i++) member[free[number(where[i])]++] = i;
    }

    int64_t number(const std::array<int32_t, 3> &place) const { return (place[0] * count[1] + place[1]) * count[2] + place[2]; }
};

}  // namespace

bool renkei_list::still_good(const renkei_system &system, double cutoff, int64_t first, int64_t last) const {
    if (margin_ < 0 || cutoff != cutoff_ || int64_t(kinds_.size()) != system.atoms) return false;
    if (std::memcmp(kinds_.data(), system.kinds, kinds_.size() * sizeof(int32_t))) return false;
    if (std::memcmp(vectors_.data(), system.vectors, sizeof vectors_)) return false;
    if (std::memcmp(periodic_.data(), system.periodic, sizeof periodic_)) return false;
    return spread(system, first, last) <= margin_;
}

double renkei_list::spread(const renkei_system &system, int64_t first, int64_t last) const {
    double most = 0;
    for (int64_t b = first; b < last; b++) {
        const double *here = system.positions + 3 * system.atoms * b;
        for (int64_t i = 0; i < system.atoms; i++) {
            double x = here[3 * i] - reference_[3 * i], y = here[3 * i + 1] - reference_[3 * i + 1],
                   z = here[3 * i + 2] - reference_[3 * i + 2];
            most = std::max(most, x * x + y * y + z * z);
        }
    }
    return std::sqrt(most);
}

bool renkei_list::update(const renkei_system &system, int species, double cutoff, int64_t first, int64_t last, double skin) {
    if (still_good(system, cutoff, first, last)) return false;
    int64_t atoms = system.atoms;
    reference_.assign(3 * atoms, 0.0);
    for (int64_t b = first; b < last; b++)
        for (int64_t k = 0; k < 3 * atoms; k++) reference_[k] += system.positions[3 * atoms * b + k];
    for (double &x : reference_) x /= double(last - first);
    double margin = spread(system, first, last) + 0.5 * skin;
    margin_ = -1;  // if memory runs out on the way
    build(system, species, cutoff + 2 * margin);
    kinds_.assign(system.kinds, system.kinds + atoms);
    std::memcpy(vectors_.data(), system.vectors, sizeof vectors_);
    std::memcpy(periodic_.data(), system.periodic, sizeof periodic_);
    cutoff_ = cutoff;
    margin_ = margin * (1 - 1e-12);
    return true;
}

void renkei_list::build(const renkei_system &system, int species, double reach) {
    Bins bins(system, reference_, reach);
    std::map<std::array<int32_t, 3>, int32_t> known;
    std::vector<Candidate> found;
    start.assign(1, 0);
    neighbors.clear();
    shifts.clear();
    ends.clear();
    for (int64_t i = 0; i < system.atoms; i++) {
        found.clear();
        const auto &home = bins.where[i];
        std::array<int64_t, 3> at;
        for (at[0] = home[0] - bins.reach[0]; at[0] <= home[0] + bins.reach[0]; at[0]++)
            for (at[1] = home[1] - bins.reach[1]; at[1] <= home[1] + bins.reach[1]; at[1]++)
                for (at[2] = home[2] - bins.reach[2]; at[2] <= home[2] + bins.reach[2]; at[2]++) {
                    std::array<int32_t, 3> image, bin;
                    bool open = false;
                    for (int axis = 0; axis < 3; axis++) {
                        int64_t n = bins.count[axis], cell = at[axis] >= 0 ? at[axis] / n : -((n - 1 - at[axis]) / n);
                        image[axis] = int32_t(cell);
                        bin[axis] = int32_t(at[axis] - cell * n);
                        open = open || (cell != 0 && !system.periodic[axis]);
                    }
                    if (open) continue;
                    int64_t b = bins.number(bin);
                    for (int64_t q = bins.head[b]; q < bins.head[b + 1]; q++) {
                        int64_t j = bins.member[q];
                        std::array<int32_t, 3> shift;
                        double square = 0;
                        for (int axis = 0; axis < 3; axis++) shift[axis] = image[axis] - bins.offset[j][axis] + bins.offset[i][axis];
                        for (int k = 0; k < 3; k++) {
                            double d = reference_[3 * j + k] - reference_[3 * i + k];
                            for (int axis = 0; axis < 3; axis++) d += shift[axis] * system.vectors[3 * axis + k];
                            square += d * d;
                        }
                        bool itself = i == j && !shift[0] && !shift[1] && !shift[2];
                        if (square <= reach * reach && !itself) found.push_back({system.kinds[j], int32_t(j), shift});
                    }
                }
        std::sort(found.begin(), found.end());
        ends.resize(ends.size() + species);
        for (const Candidate &one : found) {
            auto [entry, fresh] = known.try_emplace(one.image, int32_t(shifts.size()));
            if (fresh) {
                std::array<double, 3> move{0, 0, 0};
                for (int k = 0; k < 3; k++)
                    for (int axis = 0; axis < 3; axis++) move[k] += one.image[axis] * system.vectors[3 * axis + k];
                shifts.push_back(move);
            }
            neighbors.push_back({one.atom, entry->second});
        }
        size_t place = start.back();
        for (int s = 0; s < species; s++) {
            while (place < neighbors.size() && system.kinds[neighbors[place].atom] <= s) place++;
            ends[i * species + s] = int64_t(place);
        }
        start.push_back(int64_t(neighbors.size()));
    }
}
