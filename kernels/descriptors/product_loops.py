"""The loops of the two products.

Pairs of one central atom and one species of neighbours share a polynomial, and so do triplets of one atom and two species. They
follow one another in a `Geometry`, so each such run goes through one recurrence in vector instructions. What is left for each
triplet is a few numbers: derivatives by the unit vectors and distances of its two pairs, which become forces pair by pair.

Runs are given as unsigned places in the arrays of a whole structure: numba would test a signed one for counting from the end,
which stops the compiler, and a slice for each of so many short runs would cost more than its work.
"""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.products import Geometry, Layout
from kernels.jit import entry, kernel
from kernels.splines import look_up
from kernels.splines import project as project_splines


@kernel
def _longest(pool: Geometry, chosen: Array, column: int) -> int:
    """Pairs (1) or triplets (2) of the chosen structure with the most of them."""
    most = 0
    for s in chosen:
        most = max(most, pool.starts[s + 1, column] - pool.starts[s, column])
    return most


@kernel
def _evaluate(
    splines: bool,
    x: Array,
    low: int,
    high: int,
    gradient: Array,
    row: int,
    at: int,
    terms: int,
    value: Array,
    slope: Array,
    last: Array,
    bend: Array,
) -> None:
    """Series in T_m and its derivative at x[low:high], by Clenshaw's recurrence and its derivative; or one of splines.

    The coefficients are gradient[row, at : at + terms].  x, value, slope, last, bend: (points,), the latter two scratch.
    """
    if splines:
        look_up(gradient[row, at : at + terms], x[low:high], value[low:high], slope[low:high])
        return
    begin, end = np.uint64(low), np.uint64(high)
    for t in range(begin, end):
        value[t], last[t], slope[t], bend[t] = 0, 0, 0, 0
    for m in range(terms - 1, 0, -1):
        c = gradient[row, at + m]
        for t in range(begin, end):
            y, a, b, d, e = x[t] + x[t], last[t], value[t], slope[t], bend[t]
            value[t], last[t] = c + (y * b - a), b
            slope[t], bend[t] = b + b + (y * d - e), d
    c = gradient[row, at]
    for t in range(begin, end):
        b = value[t]
        value[t], slope[t] = c + (x[t] * b - last[t]), b + (x[t] * slope[t] - bend[t])


@kernel
def _project(splines: bool, x: Array, low: int, high: int, work: Array, change: Array, row: int, at: int, terms: int) -> None:
    """Add sum_t (a_t T_m(x_t) + b_t T_m'(x_t)) to change[row, at + m], t from low to high.

    work: four arrays (points,), overwritten; they begin as a, a x, 0 and b: the recurrences of a T_m and of b U_m-1 = b T_m' / m.
    """
    even, odd, zero, rise = work
    if splines:
        project_splines(x[low:high], even[low:high], rise[low:high], change[row, at : at + terms])
        return
    kind = x.dtype.type
    begin, end = np.uint64(low), np.uint64(high)
    whole = terms - terms % 2
    for m in range(0, whole, 2):
        first, second, rank, next_rank = kind(0), kind(0), kind(m), kind(m + 1)
        for t in range(begin, end):
            y, a, b, f, g = x[t] + x[t], even[t], odd[t], zero[t], rise[t]
            c, h = y * b - a, y * g - f
            first += a + rank * f
            second += b + next_rank * g
            even[t], zero[t] = c, h
            odd[t], rise[t] = y * c - b, y * h - g
        change[row, at + m] += first
        change[row, at + m + 1] += second
    if whole < terms:
        first, rank = kind(0), kind(whole)
        for t in range(begin, end):
            first += even[t] + rank * zero[t]
        change[row, at + whole] += first


@kernel
def _next_pairs(pool: Geometry, low: int, end: int) -> int:
    """Where the run of pairs of one atom and one species that begins at `low` ends."""
    high = low + 1
    while high < end and pool.first[high] == pool.first[low] and pool.species[high] == pool.species[low]:
        high += 1
    return high


@kernel
def _triplet_runs(pool: Geometry, begin: Array, end: Array, stops: Array) -> int:
    """Number of runs of a structure's triplets of one atom and two species, and into `stops` where each ends."""
    species, first, count, last = pool.species[begin[1] :], pool.first[begin[1] :], 0, -1
    left, right = pool.left[begin[2] : end[2]], pool.right[begin[2] : end[2]]
    for t in range(left.size):
        p, q = np.uint64(left[t]), np.uint64(right[t])
        key = (first[p] << 16) + (species[p] << 8) + species[q]
        if key != last and t > 0:
            stops[count] = t
            count += 1
        last = key
    if left.size:
        stops[count] = left.size
        count += 1
    return count


@kernel
def _by_pairs(
    spots: Layout, pool: Geometry, begin: Array, end: Array, base: int, gradient: Array, work: Array, by: Array
) -> None:
    """Set the derivatives by the distances of a structure's pairs.  by: (pairs, 4)."""
    kind, low, count = gradient.dtype.type, begin[1], end[1] - begin[1]
    half, distance, cut = kind(2 / spots.radial_cutoff_A), pool.distance[low:], pool.cut[low:]
    x, value, slope, last, bend = work
    for t in range(count):
        x[t] = half * distance[t] - kind(1)
    while low < end[1]:
        high, i = _next_pairs(pool, low, end[1]), base + pool.first[low]
        at, low_here, high_here = spots.radial[pool.species[low]], low - begin[1], high - begin[1]
        _evaluate(spots.splines, x, low_here, high_here, gradient, i, at, spots.radial_order + 1, value, slope, last, bend)
        low = high
    for t in range(count):
        by[t, 0], by[t, 1], by[t, 2] = 0, 0, 0
        by[t, 3] = cut[t, 1] * value[t] + cut[t, 0] * half * slope[t]


@kernel
def _by_triplets(
    spots: Layout, pool: Geometry, begin: Array, end: Array, base: int, gradient: Array, work: Array, stops: Array, by: Array
) -> None:
    """Add the triplets' part to the derivatives by a structure's unit vectors and distances.  by: (pairs, 4)."""
    x, left, right = pool.cosine[begin[2] : end[2]], pool.left[begin[2] : end[2]], pool.right[begin[2] : end[2]]
    unit, cut, terms = pool.unit[begin[1] :], pool.cut[begin[1] :], spots.angular_order + 1
    _, value, slope, last, bend = work
    runs = _triplet_runs(pool, begin, end, stops)
    for c in range(spots.powers.size):
        low, here, next_here = 0, np.uint64(2 + 2 * c), np.uint64(3 + 2 * c)
        for run in range(runs):
            p, q = begin[1] + left[low], begin[1] + right[low]
            at, i = spots.angular[pool.species[p], pool.species[q], c], base + pool.first[p]
            _evaluate(spots.splines, x, low, stops[run], gradient, i, at, terms, value, slope, last, bend)
            low = stops[run]
        for t in range(x.size):
            p, q = np.uint64(left[t]), np.uint64(right[t])
            f, g, total = cut[p, here], cut[q, here], value[t]
            turn = f * g * slope[t]
            by[p, 0] += turn * unit[q, 0]
            by[p, 1] += turn * unit[q, 1]
            by[p, 2] += turn * unit[q, 2]
            by[p, 3] += cut[p, next_here] * g * total
            by[q, 0] += turn * unit[p, 0]
            by[q, 1] += turn * unit[p, 1]
            by[q, 2] += turn * unit[p, 2]
            by[q, 3] += f * cut[q, next_here] * total


@kernel
def _collect(pool: Geometry, low: int, high: int, by: Array, forces: Array, virial: Array) -> None:
    """Turn derivatives by unit vectors and distances into forces.  by: (pairs, 4).  forces: (N, 3) of one structure.

    virial: (1, 3, 3), which is added to, or (0, 3, 3).
    """
    for p in range(low, high):
        mine, unit, inverse = by[p - low], pool.unit[p], forces.dtype.type(1) / pool.distance[p]
        along = mine[3] - inverse * (mine[0] * unit[0] + mine[1] * unit[1] + mine[2] * unit[2])
        i, j = pool.first[p], pool.second[p]
        for axis in range(3):
            step = along * unit[axis] + inverse * mine[axis]
            forces[j, axis] -= step
            forces[i, axis] += step
            if virial.shape[0]:
                arm = pool.distance[p] * step
                for other in range(3):
                    virial[0, other, axis] -= unit[other] * arm


@entry
def pull_back(spots: Layout, pool: Geometry, chosen: Array, gradient: Array, with_virial: bool) -> tuple[Array, Array]:
    """Forces = -J^T gradient of the chosen structures, whose atoms follow one another, and the virial (see base.py) if wanted.

    chosen: (B,) places in the pool.  gradient: (A, F) eV, A atoms in all.  Returns (A, 3) eV/A and (B, 3, 3) eV, or (0, 3, 3).
    """
    pairs = _longest(pool, chosen, 1)
    points = max(pairs, _longest(pool, chosen, 2))
    forces, by = np.zeros((gradient.shape[0], 3), gradient.dtype), np.empty((pairs, 4), gradient.dtype)
    virial = np.zeros((chosen.size if with_virial else 0, 3, 3), gradient.dtype)
    room, stops = np.empty((5, points), gradient.dtype), np.empty(points, np.int64)
    work = (room[0], room[1], room[2], room[3], room[4])
    base = 0
    for n in range(chosen.size):
        begin, end = pool.starts[chosen[n]], pool.starts[chosen[n] + 1]
        _by_pairs(spots, pool, begin, end, base, gradient, work, by)
        _by_triplets(spots, pool, begin, end, base, gradient, work, stops, by)
        _collect(pool, begin[1], end[1], by, forces[base : base + end[0] - begin[0]], virial[n : n + 1])
        base += end[0] - begin[0]
    return forces, virial


@kernel
def _moves(pool: Geometry, low: int, high: int, direction: Array, strain: Array, motion: Array) -> None:
    """How unit vectors and distances change.

    direction: (N, 3) A of one structure.  strain: (1, 3, 3) or (0, 3, 3).  motion: (pairs, 4).
    """
    for p in range(low, high):
        mine, unit, inverse = motion[p - low], pool.unit[p], direction.dtype.type(1) / pool.distance[p]
        here, there = direction[pool.first[p]], direction[pool.second[p]]
        longer = direction.dtype.type(0)
        for axis in range(3):
            mine[axis] = there[axis] - here[axis]
            if strain.shape[0]:
                bent = strain[0, axis]
                mine[axis] += pool.distance[p] * (bent[0] * unit[0] + bent[1] * unit[1] + bent[2] * unit[2])
            longer += unit[axis] * mine[axis]
        for axis in range(3):
            mine[axis] = inverse * (mine[axis] - longer * unit[axis])
        mine[3] = longer


@kernel
def _stretch(
    spots: Layout, pool: Geometry, begin: Array, end: Array, base: int, motion: Array, work: Array, change: Array
) -> None:
    """Add the part of a structure's pairs to the change of the features.  motion: (pairs, 4)."""
    kind, low = change.dtype.type, begin[1]
    half, distance, cut = kind(2 / spots.radial_cutoff_A), pool.distance[low:], pool.cut[low:]
    x, even, odd, zero, rise, _ = work
    for t in range(end[1] - low):
        x[t] = half * distance[t] - kind(1)
        even[t] = motion[t, 3] * cut[t, 1]
        odd[t] = even[t] * x[t]
        zero[t] = 0
        rise[t] = motion[t, 3] * cut[t, 0] * half
    while low < end[1]:
        high, at, i = _next_pairs(pool, low, end[1]), spots.radial[pool.species[low]], base + pool.first[low]
        _project(
            spots.splines, x, low - begin[1], high - begin[1], (even, odd, zero, rise), change, i, at, spots.radial_order + 1
        )
        low = high


@kernel
def _turn(
    spots: Layout, pool: Geometry, begin: Array, end: Array, base: int, motion: Array, work: Array, stops: Array, change: Array
) -> None:
    """Add the part of a structure's triplets to the change of the features.  motion: (pairs, 4)."""
    x, left, right = pool.cosine[begin[2] : end[2]], pool.left[begin[2] : end[2]], pool.right[begin[2] : end[2]]
    unit, cut = pool.unit[begin[1] :], pool.cut[begin[1] :]
    _, even, odd, zero, rise, opening = work
    for t in range(x.size):
        p, q = np.uint64(left[t]), np.uint64(right[t])
        along = unit[q, 0] * motion[p, 0] + unit[q, 1] * motion[p, 1] + unit[q, 2] * motion[p, 2]
        opening[t] = along + unit[p, 0] * motion[q, 0] + unit[p, 1] * motion[q, 1] + unit[p, 2] * motion[q, 2]
    runs, terms = _triplet_runs(pool, begin, end, stops), spots.angular_order + 1
    for c in range(spots.powers.size):
        low, here, next_here = 0, np.uint64(2 + 2 * c), np.uint64(3 + 2 * c)
        for t in range(x.size):
            p, q = np.uint64(left[t]), np.uint64(right[t])
            f, g = cut[p, here], cut[q, here]
            even[t] = cut[p, next_here] * motion[p, 3] * g + f * cut[q, next_here] * motion[q, 3]
            odd[t] = even[t] * x[t]
            zero[t] = 0
            rise[t] = f * g * opening[t]
        for run in range(runs):
            p, q = begin[1] + left[low], begin[1] + right[low]
            at, i = spots.angular[pool.species[p], pool.species[q], c], base + pool.first[p]
            _project(spots.splines, x, low, stops[run], (even, odd, zero, rise), change, i, at, terms)
            low = stops[run]


@entry
def push_forward(spots: Layout, pool: Geometry, chosen: Array, direction: Array, strain: Array) -> Array:
    """How the features of the chosen structures change along a displacement and a strain.

    chosen: (B,) places in the pool.  direction: (A, 3) A, A atoms in all.  Returns (A, F).
    strain: (B, 3, 3); each vector between two atoms moves by its structure's strain times itself, too. Or (0, 3, 3).
    """
    pairs = _longest(pool, chosen, 1)
    points = max(pairs, _longest(pool, chosen, 2))
    change, motion = np.zeros((direction.shape[0], spots.length), direction.dtype), np.empty((pairs, 4), direction.dtype)
    room, stops = np.empty((6, points), direction.dtype), np.empty(points, np.int64)
    work = (room[0], room[1], room[2], room[3], room[4], room[5])
    base = 0
    for n in range(chosen.size):
        begin, end = pool.starts[chosen[n]], pool.starts[chosen[n] + 1]
        _moves(pool, begin[1], end[1], direction[base : base + end[0] - begin[0]], strain[n : n + 1], motion)
        _stretch(spots, pool, begin, end, base, motion, work, change)
        _turn(spots, pool, begin, end, base, motion, work, stops, change)
        base += end[0] - begin[0]
    return change
