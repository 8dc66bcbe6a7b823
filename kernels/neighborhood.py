"""One atom's neighbourhood as the Chebyshev sums want it.

Neighbours are sorted by species, within a species those inside the angular cut-off come first. A triplet (j, k) is one
column: the cosine of its angle and its weight, the product of its two cut-offs; triplets are sorted by species pair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.chebyshev import BLOCK, cosine, sine
from kernels.jit import kernel
from kernels.neighbors.numba_cpu import Found
from kernels.plan import Plan

# rows of Around.pair: distance, its inverse, unit vector; 2d/R - 1, cut-offs and their slopes
D, INVERSE, UX, UY, UZ, X, F, SLOPE, F_ANGULAR, SLOPE_ANGULAR = range(10)
# then sums over triplets: for the cut-off, for the unit vector; for the distance
BY_F, BY_UX, BY_UY, BY_UZ, BY_D = range(10, 15)
PAIR_ROWS = 15
# rows of Around.triplet: cosine, weight, and their derivatives (of the energy, or along a direction)
COS, WEIGHT, BY_COS, BY_WEIGHT = range(4)
TRIPLET_ROWS = 4


class Around(NamedTuple):
    """One atom's neighbourhood; the arrays are reused from atom to atom."""

    atom: Array  # (M,) int, atom number of a neighbour
    vector: Array  # (M, 3) A
    pair: Array  # (PAIR_ROWS, M)
    begin: Array  # (species + 1,) int, first neighbour of a species
    middle: Array  # (species,) int, its first one beyond the angular cut-off
    triplet: Array  # (TRIPLET_ROWS, T)
    columns: Array  # (pairs + 1,) int, first triplet of a species pair
    block: Array  # (3, BLOCK)
    rates: Array  # (most terms,) scratch for one series
    moments: Array  # (resolved moments,), or derivatives with respect to them


@kernel
def workspace(plan: Plan, neighbors: int, triplets: int) -> Around:
    """Arrays for atoms with at most so many neighbours and triplets."""
    pairs = plan.angular_mix.shape[1]
    return Around(
        np.empty(neighbors, np.int64),
        np.empty((neighbors, 3)),
        np.empty((PAIR_ROWS, neighbors)),
        np.empty(plan.species + 1, np.int64),
        np.empty(plan.species, np.int64),
        np.empty((TRIPLET_ROWS, triplets)),
        np.empty(pairs + 1, np.int64),
        np.empty((3, max(BLOCK, neighbors))),
        np.empty(max(plan.radial_terms, plan.angular_terms)),
        np.empty(plan.species * plan.radial_terms + plan.powers.size * pairs * plan.angular_terms),
    )


@kernel
def fitting(around: Around, plan: Plan, found: Found) -> Around:
    """The workspace, or a larger one if some atom of the list needs it."""
    neighbors, inside = 0, 0
    for i in range(found.start.size - 1):
        near = 0
        for q in range(found.start[i], found.start[i + 1]):
            if found.distance[q] < plan.angular_cutoff:
                near += 1
        neighbors, inside = max(neighbors, found.start[i + 1] - found.start[i]), max(inside, near)
    triplets = inside * (inside - 1) // 2
    if neighbors <= around.atom.size and triplets <= around.triplet.shape[1]:
        return around
    return workspace(plan, max(neighbors, around.atom.size), max(triplets, around.triplet.shape[1]))


@kernel
def gather(plan: Plan, around: Around, found: Found, kinds: Array, i: int) -> None:
    """Sort the neighbours of atom i and measure distances, cut-offs, cosines.  kinds: (N,) place of each atom's species."""
    begin, middle = around.begin, around.middle
    first, last = found.start[i], found.start[i + 1]
    begin[:] = 0
    middle[:] = 0
    for q in range(first, last):
        s = kinds[found.second[q]]
        begin[s + 1] += 1
        if found.distance[q] < plan.angular_cutoff:
            middle[s] += 1
    for s in range(plan.species):
        begin[s + 1] += begin[s]
        middle[s] += begin[s]
    inner, outer = begin.copy(), middle.copy()
    for q in range(first, last):
        s = kinds[found.second[q]]
        if found.distance[q] < plan.angular_cutoff:
            place = inner[s]
            inner[s] += 1
        else:
            place = outer[s]
            outer[s] += 1
        around.atom[place] = found.second[q]
        for axis in range(3):
            around.vector[place, axis] = found.vector[q, axis]
        around.pair[D, place] = found.distance[q]
    _measure_pairs(plan, around, last - first)
    _measure_triplets(plan, around)


@kernel
def _measure_pairs(plan: Plan, around: Around, count: int) -> None:
    """Unit vectors and cut-offs of all neighbours."""
    pair = around.pair
    for q in range(count):
        inverse = 1 / pair[D, q]
        pair[INVERSE, q] = inverse
        pair[UX, q] = around.vector[q, 0] * inverse
        pair[UY, q] = around.vector[q, 1] * inverse
        pair[UZ, q] = around.vector[q, 2] * inverse
    scale = 2 / plan.radial_cutoff
    _cutoff(pair[D], count, plan.radial_cutoff, pair[F], pair[SLOPE])
    _cutoff(pair[D], count, plan.angular_cutoff, pair[F_ANGULAR], pair[SLOPE_ANGULAR])
    for q in range(count):
        pair[X, q] = pair[D, q] * scale - 1


@kernel
def _cutoff(distance: Array, count: int, cutoff: float, value: Array, slope: Array) -> None:
    """f = (1 + cos(pi d / R)) / 2 and df/dd; 0 beyond R."""
    rate = np.pi / cutoff
    for q in range(count):
        z = min(distance[q], cutoff) * rate - 0.5 * np.pi  # cos(pi d / R) = -sin z
        value[q] = 0.5 - 0.5 * sine(z)
        slope[q] = -0.5 * rate * cosine(z)


@kernel
def _measure_triplets(plan: Plan, around: Around) -> None:
    """Cosine and weight of every triplet, sorted by species pair."""
    pair, cosines, weights = around.pair, around.triplet[COS], around.triplet[WEIGHT]
    column, species_pair = 0, 0
    for a in range(plan.species):
        for b in range(a, plan.species):
            around.columns[species_pair] = column
            for j in range(around.begin[a], around.middle[a]):
                k = j + 1 if a == b else around.begin[b]
                count = around.middle[b] - k
                if count <= 0:
                    continue
                ux, uy, uz, f = pair[UX, j], pair[UY, j], pair[UZ, j], pair[F_ANGULAR, j]
                x, y, z, g = pair[UX, k:], pair[UY, k:], pair[UZ, k:], pair[F_ANGULAR, k:]
                cosine_row, weight_row = cosines[column:], weights[column:]
                for q in range(count):
                    cosine_row[q] = ux * x[q] + uy * y[q] + uz * z[q]
                for q in range(count):
                    weight_row[q] = f * g[q]
                column += count
            species_pair += 1
    around.columns[species_pair] = column
