"""The two linear maps of force training on stored geometry: dE/dG -> forces, and displacements -> change of the features.

The pairs and triplets of a structure do not change while one trains on it, so they are found once (`geometry`) and a whole
minibatch goes through one call. No Jacobian is built or stored: what is kept is the index lists, unit vectors and cut-off values.
The features come in the order that `Layout` names, which is that of the species-resolved family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.jit import entry, kernel


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


class Geometry(NamedTuple):
    """Pairs and triplets of one or many structures; indices are local to a structure, `starts` says where each begins."""

    starts: Array  # (n + 1, 3) int: first atom, first pair, first triplet
    first: Array  # (M,) int32: central atom of a pair
    second: Array  # (M,) int32: its neighbour
    species: Array  # (M,) int32: the neighbour's place in the list of species
    unit: Array  # (M, 3): direction from first to second
    distance: Array  # (M,) A
    cut: Array  # (M, 2 + 2 K): radial cut-off value and slope, then value and slope of each power of the angular one
    left: Array  # (T,) int32: one pair of a triplet
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


def geometry(spots: Layout, pairs: tuple[Array, Array, Array, Array], places: Array, dtype: type = np.float32) -> Geometry:
    """Geometry of one structure.

    pairs: first (M,) sorted, second (M,), vector (M, 3) A, distance (M,) A, all within the radial cut-off.
    places: (N,) place of each atom in the list of species.
    """
    first, second, vector, distance = pairs
    value, slope = _cosine_cut(distance, spots.radial_cutoff_A)
    near_value, near_slope = _cosine_cut(distance, spots.angular_cutoff_A)
    columns = [value, slope]
    for power in spots.powers:
        columns += [near_value**power, power * near_value ** (power - 1) * near_slope]
    left, right = _triplets(first, distance < spots.angular_cutoff_A)
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


@kernel
def _chebyshev(x, value, slope):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Polynomials of the first kind and their derivatives at x, into value and slope."""
    value[0], slope[0] = 1, 0
    if len(value) > 1:
        value[1], slope[1] = x, 1
    for m in range(2, len(value)):
        value[m] = 2 * x * value[m - 1] - value[m - 2]
        slope[m] = 2 * value[m - 1] + 2 * x * slope[m - 1] - slope[m - 2]


@entry
def pull_back(spots: Layout, pool: Geometry, chosen: Array, gradient: Array) -> Array:
    """Forces = -J^T gradient of the chosen structures, whose atoms follow one another.

    chosen: (B,) places in the pool.  gradient: (A, F) eV, A atoms in all.  Returns (A, 3) eV/A.
    """
    forces = np.zeros((gradient.shape[0], 3), gradient.dtype)
    value, slope = np.empty(spots.radial_order + 1, gradient.dtype), np.empty(spots.radial_order + 1, gradient.dtype)
    turn, bend = np.empty(spots.angular_order + 1, gradient.dtype), np.empty(spots.angular_order + 1, gradient.dtype)
    half = gradient.dtype.type(2 / spots.radial_cutoff_A)
    base = 0
    for s in chosen:
        begin, end = pool.starts[s], pool.starts[s + 1]
        for p in range(begin[1], end[1]):
            i, j, at = base + pool.first[p], base + pool.second[p], spots.radial[pool.species[p]]
            _chebyshev(half * pool.distance[p] - 1, value, slope)
            a, b = pool.cut[p, 1], pool.cut[p, 0] * half
            push = gradient.dtype.type(0)
            for m in range(len(value)):
                push += gradient[i, at + m] * (a * value[m] + b * slope[m])
            for x in range(3):
                forces[j, x] -= push * pool.unit[p, x]
                forces[i, x] += push * pool.unit[p, x]
        for t in range(begin[2], end[2]):
            p, q = begin[1] + pool.left[t], begin[1] + pool.right[t]
            i, j, k = base + pool.first[p], base + pool.second[p], base + pool.second[q]
            _chebyshev(pool.cosine[t], turn, bend)
            by_angle = by_left = by_right = gradient.dtype.type(0)
            for c in range(len(spots.powers)):
                at = spots.angular[pool.species[p], pool.species[q], c]
                total = twist = gradient.dtype.type(0)
                for m in range(len(turn)):
                    total += gradient[i, at + m] * turn[m]
                    twist += gradient[i, at + m] * bend[m]
                f, g = pool.cut[p, 2 + 2 * c], pool.cut[q, 2 + 2 * c]
                by_angle += f * g * twist
                by_left += pool.cut[p, 3 + 2 * c] * g * total
                by_right += f * pool.cut[q, 3 + 2 * c] * total
            over_left, over_right = by_angle / pool.distance[p], by_angle / pool.distance[q]
            along_left, along_right = by_left - pool.cosine[t] * over_left, by_right - pool.cosine[t] * over_right
            for x in range(3):
                on_j = over_left * pool.unit[q, x] + along_left * pool.unit[p, x]
                on_k = over_right * pool.unit[p, x] + along_right * pool.unit[q, x]
                forces[j, x] -= on_j
                forces[k, x] -= on_k
                forces[i, x] += on_j + on_k
        base += end[0] - begin[0]
    return forces


@entry
def push_forward(spots: Layout, pool: Geometry, chosen: Array, direction: Array) -> Array:
    """J direction: how the features of the chosen structures change along a displacement.

    chosen: (B,) places in the pool.  direction: (A, 3) A, A atoms in all.  Returns (A, F).
    """
    change = np.zeros((direction.shape[0], spots.length), direction.dtype)
    value, slope = np.empty(spots.radial_order + 1, direction.dtype), np.empty(spots.radial_order + 1, direction.dtype)
    turn, bend = np.empty(spots.angular_order + 1, direction.dtype), np.empty(spots.angular_order + 1, direction.dtype)
    half = direction.dtype.type(2 / spots.radial_cutoff_A)
    moves = np.empty((1, 3), direction.dtype)
    base = 0
    for s in chosen:
        begin, end = pool.starts[s], pool.starts[s + 1]
        count = end[1] - begin[1]
        if len(moves) < count:
            moves = np.empty((count, 3), direction.dtype)
        for r in range(count):
            p = begin[1] + r
            i, j, at = base + pool.first[p], base + pool.second[p], spots.radial[pool.species[p]]
            longer = direction.dtype.type(0)
            for x in range(3):
                moves[r, x] = direction[j, x] - direction[i, x]
                longer += pool.unit[p, x] * moves[r, x]
            _chebyshev(half * pool.distance[p] - 1, value, slope)
            a, b = longer * pool.cut[p, 1], longer * pool.cut[p, 0] * half
            for m in range(len(value)):
                change[i, at + m] += a * value[m] + b * slope[m]
        for t in range(begin[2], end[2]):
            p, q = begin[1] + pool.left[t], begin[1] + pool.right[t]
            i = base + pool.first[p]
            left_along = left_across = right_along = right_across = direction.dtype.type(0)
            for x in range(3):
                u, v = pool.unit[p, x], pool.unit[q, x]
                left_along += u * moves[pool.left[t], x]
                left_across += v * moves[pool.left[t], x]
                right_along += v * moves[pool.right[t], x]
                right_across += u * moves[pool.right[t], x]
            opening = (left_across - pool.cosine[t] * left_along) / pool.distance[p]
            opening += (right_across - pool.cosine[t] * right_along) / pool.distance[q]
            _chebyshev(pool.cosine[t], turn, bend)
            for c in range(len(spots.powers)):
                at = spots.angular[pool.species[p], pool.species[q], c]
                f, g = pool.cut[p, 2 + 2 * c], pool.cut[q, 2 + 2 * c]
                b = f * g * opening
                a = pool.cut[p, 3 + 2 * c] * left_along * g + f * pool.cut[q, 3 + 2 * c] * right_along
                for m in range(len(turn)):
                    change[i, at + m] += a * turn[m] + b * bend[m]
        base += end[0] - begin[0]
    return change
