"""What the two linear maps of force training act on: dE/dG -> forces, and displacements -> change of the features.

The pairs and triplets of a structure do not change while one trains on it, so they are found once (`geometry`) and a whole
minibatch goes through one call. No Jacobian is built or stored: what is kept is the index lists, unit vectors and cut-off values.
The features come in the order that `Layout` names, that of the species-resolved family. The maps are in `product_loops`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.jit import entry


class Layout(NamedTuple):
    """Where each channel of the features begins, and the polynomial orders."""

    length: int  # F
    radial: Array  # (S,) int: first radial feature of a neighbour species
    angular: Array  # (S, S, K) int: first angular feature of an unordered species pair and a cut-off power
    radial_order: int
    angular_order: int
    radial_cutoff_A: float
    angular_cutoff_A: float
    powers: Array  # (K,) int: powers of the angular cut-off function
    splines: bool  # cubic B-splines instead of polynomials


class Geometry(NamedTuple):
    """Pairs and triplets of one or many structures; indices are local to a structure, `starts` says where each begins."""

    starts: Array  # (n + 1, 3) int: first atom, first pair, first triplet
    first: Array  # (M,) int32: central atom of a pair; pairs are sorted by it, then by the neighbour's species
    second: Array  # (M,) int32: its neighbour
    species: Array  # (M,) int32: the neighbour's place in the list of species
    unit: Array  # (M, 3): direction from first to second
    distance: Array  # (M,) A
    cut: Array  # (M, 2 + 2 K): radial cut-off value and slope, then value and slope of each power of the angular one
    left: Array  # (T,) int32: one pair of a triplet; triplets are sorted by central atom, then by the two species
    right: Array  # (T,) int32: the other pair, of the same central atom
    cosine: Array  # (T,): of the angle between them


def layout(descriptor: Chebyshev) -> Layout:
    """The resolved features behind a descriptor of either family."""
    count = len(descriptor.species)
    long, short, powers = descriptor.radial_order + 1, descriptor.angular_order + 1, len(descriptor.powers)
    pairs = [(a, b) for a in range(count) for b in range(a, count)]
    angular = np.zeros((count, count, powers), dtype=np.int64)
    for number, (a, b) in enumerate(pairs):
        for power in range(powers):
            angular[a, b, power] = angular[b, a, power] = count * long + (power * len(pairs) + number) * short
    return Layout(
        count * long + powers * len(pairs) * short,
        np.arange(count, dtype=np.int64) * long,
        angular,
        descriptor.radial_order,
        descriptor.angular_order,
        descriptor.radial_cutoff_A,
        descriptor.angular_cutoff_A,
        np.array(descriptor.powers, dtype=np.int64),
        descriptor.basis == "bspline",
    )


def mixing(descriptor: Chebyshev) -> Array:
    """The fixed map of resolved features to the descriptor's, (F, resolved length)."""
    spots = layout(descriptor)
    result = np.zeros((descriptor.length, spots.length))
    (radial, angular), (radial_at, angular_at) = descriptor.mixing, descriptor.places
    count = len(descriptor.species)
    pairs = [(a, b) for a in range(count) for b in range(a, count)]
    for channel, weights in enumerate(radial):
        for species, weight in enumerate(weights):
            for m in range(descriptor.radial_order + 1):
                result[radial_at[channel] + m, spots.radial[species] + m] = weight
    for channel, weights in enumerate(angular):
        for number, weight in enumerate(weights):
            for power in range(len(descriptor.powers)):
                for m in range(descriptor.angular_order + 1):
                    result[angular_at[power, channel] + m, spots.angular[(*pairs[number], power)] + m] = weight
    return result


@entry
def _triplets(first: Array, near: Array) -> tuple[Array, Array]:
    """Unordered couples of pairs that share their central atom and are both within the angular cut-off."""
    total = before = 0
    for p in range(len(first)):
        if p > 0 and first[p] != first[p - 1]:
            before = 0
        if near[p]:
            total += before
            before += 1
    left, right = np.empty(total, np.int32), np.empty(total, np.int32)
    count = 0
    for p in range(len(first)):
        q = p - 1
        while near[p] and q >= 0 and first[q] == first[p]:
            if near[q]:
                left[count], right[count] = p, q
                count += 1
            q -= 1
    return left, right


def _cosine_cut(distance: Array, cutoff: float) -> tuple[Array, Array]:
    """Cosine cut-off function and its slope. distance: (M,) A. Returns (M,) and (M,) 1/A."""
    inside = distance < cutoff
    value = np.where(inside, 0.5 * (np.cos(math.pi * distance / cutoff) + 1.0), 0.0)
    return value, np.where(inside, -0.5 * math.pi / cutoff * np.sin(math.pi * distance / cutoff), 0.0)


def geometry(
    spots: Layout,
    pairs: tuple[Array, Array, Array, Array],
    places: Array,
    dtype: type = np.float32,
    with_triplets: bool = True,
) -> Geometry:
    """Geometry of one structure.

    pairs: first (M,) sorted, second (M,), vector (M, 3) A, distance (M,) A, all within the radial cut-off.
    places: (N,) place of each atom in the list of species.
    """
    order = np.lexsort((places[pairs[1]], pairs[0]))
    first, second, vector, distance = (column[order] for column in pairs)
    value, slope = _cosine_cut(distance, spots.radial_cutoff_A)
    near_value, near_slope = _cosine_cut(distance, spots.angular_cutoff_A)
    columns = [value, slope]
    for power in spots.powers:
        columns += [near_value**power, power * near_value ** (power - 1) * near_slope]
    left, right = _triplets(first, with_triplets & (distance < spots.angular_cutoff_A))
    order = np.lexsort((places[second[right]], places[second[left]], first[left]))
    left, right = left[order], right[order]
    unit = vector / distance[:, None]
    starts = np.array([[0, 0, 0], [len(places), len(first), len(left)]], dtype=np.int64)
    ints = (first.astype(np.int32), second.astype(np.int32), places[second].astype(np.int32))
    reals: tuple[Array, Array, Array] = (unit.astype(dtype), distance.astype(dtype), np.stack(columns, axis=1).astype(dtype))
    return Geometry(starts, *ints, *reals, left, right, np.sum(unit[left] * unit[right], axis=1).astype(dtype))


def join(parts: Sequence[Geometry]) -> Geometry:
    """Many geometries as one, in the order given."""
    sizes = np.concatenate([np.diff(part.starts, axis=0) for part in parts])
    starts = np.concatenate([np.zeros((1, 3), dtype=np.int64), np.cumsum(sizes, axis=0)])
    return Geometry(starts, *(np.concatenate(column) for column in list(zip(*parts, strict=True))[1:]))


def part(pool: Geometry, chosen: Array) -> Geometry:
    """The geometries of chosen structures as one.  chosen: (B,)."""
    rows = [np.concatenate([np.arange(*pool.starts[c : c + 2, kind]) for c in chosen]) for kind in (1, 2)]
    sizes = np.diff(pool.starts, axis=0)[chosen]
    starts = np.concatenate([np.zeros((1, 3), dtype=np.int64), np.cumsum(sizes, axis=0)])
    of_pairs = (column[rows[0]] for column in pool[1:7])
    return Geometry(starts, *of_pairs, *(column[rows[1]] for column in pool[7:]))
