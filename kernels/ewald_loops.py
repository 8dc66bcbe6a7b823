"""The sums of kernels/ewald.py: which terms are summed in space and which in waves, and the compiled loops."""

from __future__ import annotations

from math import erfc, exp, log, pi, sqrt
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.jit import entry, kernel
from kernels.neighbors.base import Lattice
from kernels.neighbors.numba_cpu import is_usable
from kernels.units import COULOMB_EV_A

ACCURACY = 1e-11  # a term beyond a cut-off, against the same term without its damping
SERIES = 0.1  # up to here erf(x) / x from its series: the difference of the closed forms loses digits
FAR = 6.0  # erfc is below 3e-17 from here on
FLAT = 2 / sqrt(pi)


class Splitting(NamedTuple):
    """What is summed where: erf(rate r) / r in waves, erf(sharp r) / r - erf(rate r) / r in space up to the reach."""

    sharp: float  # 1/A, 1 / (sqrt(2) w)
    rate: float  # 1/A; 0: no waves
    reach_A: float
    waves: Array  # (R, 3) int: h >= 0, k, and the largest |m|; of each pair of opposite waves one
    weights: Array  # (R, L + 1, 2) 1/A, of (h, k, m) and of (h, k, -m); 0 for a wave that is not summed
    reciprocal: Array  # (3, 3) 1/A, 2 pi times the columns of the inverse cell, as rows
    images: Array  # (T, 4) A, lattice vectors that the nearest image of a neighbour may lie from one within reach, and lengths
    volume: float  # A^3


def splitting(cell: Array, width_A: float, rate: float, accuracy: float = ACCURACY) -> Splitting:
    """Cut-offs and waves for a rate (1/A), which is lowered to that of the charges themselves: then all is in the waves.

    cell: (3, 3) A.  The waves k have k^2 < 4 rate^2 log(1 / accuracy), the distances (rate r)^2 < log(1 / accuracy).
    """
    sharp = 1 / (sqrt(2) * width_A)
    rate, depth = float(min(rate, sharp)), sqrt(-log(accuracy))
    volume, reciprocal = float(abs(np.linalg.det(cell))), np.ascontiguousarray(2 * pi * np.linalg.inv(cell).T)
    most = np.floor(2 * rate * depth * np.linalg.norm(cell, axis=1) / (2 * pi)).astype(np.int64)
    h, k, m = np.meshgrid(np.arange(most[0] + 1), np.arange(-most[1], most[1] + 1), np.arange(most[2] + 1), indexing="ij")
    weights = np.zeros((*h.shape, 2))
    for side, sign in enumerate((1, -1)):
        square = np.sum((np.stack([h, k, sign * m], axis=-1) @ reciprocal) ** 2, axis=-1)
        ahead = (h > 0) | (k > 0) | ((k == 0) & (m > 0) & (sign > 0))
        inside = ahead & (square < (2 * rate * depth) ** 2) & ((m > 0) | (sign > 0))
        weights[inside, side] = 4 * pi / volume * np.exp(-square[inside] / (4 * rate * rate)) / square[inside]
    some = weights.any(axis=(2, 3))
    widest = np.max(np.where(weights.any(axis=3), m, 0), axis=2)
    waves = np.stack([h[:, :, 0], k[:, :, 0], widest], axis=-1)[some]
    reach_A = depth / rate if rate < sharp else 0.0
    return Splitting(sharp, rate, reach_A, waves, weights[some], reciprocal, _images(cell, reach_A), volume)


def _images(cell: Array, reach_A: float) -> Array:
    """Lattice vectors and their lengths (T, 4) A, the shortest first, of all images that may be within reach of an atom.

    An image of a neighbour whose fractional distance is at most 1/2 along each axis lies at most `corner` from a lattice point.
    """
    corners = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [1, -1, -1]]) / 2 @ cell
    farthest = reach_A + np.max(np.linalg.norm(corners, axis=1))
    most = np.floor(farthest * np.linalg.norm(np.linalg.inv(cell), axis=0)).astype(np.int64)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1).reshape(-1, 3) @ cell
    lengths = np.linalg.norm(grid, axis=1)
    order = np.argsort(lengths, kind="stable")
    return np.column_stack([grid, lengths])[order[lengths[order] <= farthest]]


@entry
def summed(positions: Array, charges: Array, box: Lattice, split: Splitting) -> tuple[Array, Array, Array, Array]:
    """What `Sums` holds, with charges (N,) in e of the atoms; of each structure by itself."""
    structures, atoms = positions.shape[0], positions.shape[1]
    energy, atomic, virial = np.zeros(structures), np.zeros((structures, atoms)), np.zeros((structures, 3, 3))
    forces, unit = np.zeros((structures, atoms, 3)), np.sqrt(COULOMB_EV_A) * charges
    for b in range(structures):
        if not is_usable(positions[b]):
            energy[b], atomic[b], forces[b], virial[b] = np.nan, np.nan, np.nan, np.nan
            continue
        if split.rate > 0:
            places = _fractional(positions[b], box)
            _constants(unit, split, atomic[b], virial[b])
            _sum_waves(places, unit, split, atomic[b], forces[b], virial[b])
            if split.reach_A > 0:
                _sum_near(places, unit, box.vectors, split, atomic[b], forces[b], virial[b])
        else:
            _sum_all(positions[b], unit, split, atomic[b], forces[b], virial[b])
        for i in range(atoms):
            energy[b] += atomic[b, i]
    return energy, atomic, forces, virial


@kernel
def damped(distance: float, sharp: float, rate: float) -> tuple[float, float]:
    """erf(sharp r) / r - erf(rate r) / r, and its slope by the distance over the distance; finite at 0.  sharp >= rate."""
    x, y = sharp * distance, rate * distance
    if x < SERIES:
        x, y = x * x, y * y
        value = sharp * (1 - x * (1 / 3 - x * (1 / 10 - x * (1 / 42 - x * (1 / 216 - x / 1320)))))
        value -= rate * (1 - y * (1 / 3 - y * (1 / 10 - y * (1 / 42 - y * (1 / 216 - y / 1320)))))
        slope = sharp**3 * (1 / 3 - x * (1 / 5 - x * (1 / 14 - x * (1 / 54 - x / 264))))
        slope -= rate**3 * (1 / 3 - y * (1 / 5 - y * (1 / 14 - y * (1 / 54 - y / 264))))
        return FLAT * value, -2 * FLAT * slope
    value, slope = erfc(y), FLAT * y * exp(-y * y)
    if x < FAR:
        value, slope = value - erfc(x), slope - FLAT * x * exp(-x * x)
    return value / distance, -(value + slope) / distance**3


@kernel
def _push(
    i: int,
    j: int,
    vector: tuple[float, float, float],
    weight: float,
    split: Splitting,
    atomic: Array,
    forces: Array,
    virial: Array,
) -> None:
    """Add what atoms i and j do to one another.  vector: A from i to j.  weight: the product of their charges."""
    distance = sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2])
    value, slope = damped(distance, split.sharp, split.rate)
    atomic[i] += 0.5 * weight * value
    atomic[j] += 0.5 * weight * value
    for axis in range(3):
        push = weight * slope * vector[axis]
        forces[i, axis] += push
        forces[j, axis] -= push
        for other in range(3):
            virial[other, axis] -= vector[other] * push


@kernel
def _sum_all(positions: Array, unit: Array, split: Splitting, atomic: Array, forces: Array, virial: Array) -> None:
    """All pairs of a structure that is not periodic.  unit: (N,) charges times the root of k."""
    for i in range(unit.size):
        for j in range(i + 1, unit.size):
            x, y, z = (positions[j, 0] - positions[i, 0], positions[j, 1] - positions[i, 1], positions[j, 2] - positions[i, 2])
            _push(i, j, (x, y, z), unit[i] * unit[j], split, atomic, forces, virial)


@kernel
def _sum_near(places: Array, unit: Array, vectors: Array, split: Splitting, atomic: Array, forces: Array, virial: Array) -> None:
    """The pairs up to the reach, images included, each once.  places: (3, N) fractional.  vectors: (3, 3) A of the cell."""
    reach, images = split.reach_A, split.images
    for i in range(unit.size):
        for j in range(i, unit.size):
            a, b, c = places[0, j] - places[0, i], places[1, j] - places[1, i], places[2, j] - places[2, i]
            a, b, c = a - np.rint(a), b - np.rint(b), c - np.rint(c)
            x0 = a * vectors[0, 0] + b * vectors[1, 0] + c * vectors[2, 0]
            y0 = a * vectors[0, 1] + b * vectors[1, 1] + c * vectors[2, 1]
            z0 = a * vectors[0, 2] + b * vectors[1, 2] + c * vectors[2, 2]
            farthest = reach + sqrt(x0 * x0 + y0 * y0 + z0 * z0)
            weight = unit[i] * unit[j] if i < j else 0.5 * unit[i] * unit[i]  # an atom's own images come on both sides
            for t in range(1 if i == j else 0, images.shape[0]):
                if images[t, 3] > farthest:
                    break
                x, y, z = x0 + images[t, 0], y0 + images[t, 1], z0 + images[t, 2]
                if x * x + y * y + z * z < reach * reach:
                    _push(i, j, (x, y, z), weight, split, atomic, forces, virial)


@kernel
def _constants(unit: Array, split: Splitting, atomic: Array, virial: Array) -> None:
    """The waves' energy of each charge with itself, and the uniform background's that makes the cell neutral."""
    total = 0.0
    for i in range(unit.size):
        total += unit[i]
    spread = 0.5 * pi / split.volume * (1 / split.rate**2 - 1 / split.sharp**2)
    for i in range(unit.size):
        atomic[i] -= unit[i] * (0.5 * FLAT * split.rate * unit[i] + spread * total)
    for axis in range(3):
        virial[axis, axis] -= spread * total * total


@kernel
def _fractional(positions: Array, box: Lattice) -> Array:
    """Fractional coordinates (3, N) in 0..1."""
    places = np.empty((3, positions.shape[0]))
    for axis in range(3):
        for i in range(positions.shape[0]):
            place = 0.0
            for other in range(3):
                place += positions[i, other] * box.inverse[other, axis]
            places[axis, i] = place - np.floor(place)
    return places


@kernel
def _phases(places: Array, waves: Array) -> tuple[Array, Array]:
    """cos and sin of 2 pi m times the fractional coordinates (3, N), as (3, M, N), by recurrence in m."""
    most = 1
    for row in range(waves.shape[0]):
        most = max(most, waves[row, 0], abs(waves[row, 1]), waves[row, 2])
    atoms = places.shape[1]
    cosine, sine = np.ones((3, most + 1, atoms)), np.zeros((3, most + 1, atoms))
    for axis in range(3):
        for i in range(atoms):
            angle = 2 * pi * places[axis, i]
            cosine[axis, 1, i], sine[axis, 1, i] = np.cos(angle), np.sin(angle)
        for m in range(2, most + 1):
            c, s, c1, s1 = cosine[axis, m - 1], sine[axis, m - 1], cosine[axis, 1], sine[axis, 1]
            c2, s2 = cosine[axis, m], sine[axis, m]
            for i in range(atoms):
                c2[i], s2[i] = c[i] * c1[i] - s[i] * s1[i], s[i] * c1[i] + c[i] * s1[i]
    return cosine, sine


@kernel
def _sum_waves(places: Array, unit: Array, split: Splitting, atomic: Array, forces: Array, virial: Array) -> None:
    """All waves, those of one (h, k) together: their structure factors first, and from these what each atom gets."""
    atoms, waves = unit.size, split.waves
    cosine, sine = _phases(places, waves)
    start = np.empty((2, atoms))  # q exp(i (h x + k y))
    back, along = np.empty((2, atoms)), np.empty((2, atoms))  # sums over m of weight S* exp(i m z), and with m before
    slopes = np.zeros((3, atoms))  # by the phases
    for row in range(waves.shape[0]):
        h, k, top = waves[row, 0], waves[row, 1], waves[row, 2]
        sign = 1.0 if k > 0 else -1.0
        _begin(unit, (cosine[0, h], sine[0, h]), (cosine[1, abs(k)], sine[1, abs(k)]), sign, start)
        back[:], along[:] = 0.0, 0.0
        for m in range(top + 1):
            factors = _factors(start, cosine[2, m], sine[2, m])
            terms = _weighted(split, row, m, factors, virial)
            _return(cosine[2, m], sine[2, m], m, terms, back, along)
        _collect(start, back, along, h, k, atomic, slopes)
    for i in range(atoms):
        for axis in range(3):
            for number in range(3):
                forces[i, axis] += slopes[number, i] * split.reciprocal[number, axis]


@kernel
def _begin(unit: Array, x: tuple[Array, Array], y: tuple[Array, Array], sign: float, start: Array) -> None:
    """Charges times the phases of two axes; the second one's with a sign."""
    (a, b), (c, d), real, imaginary = x, y, start[0], start[1]
    for i in range(unit.size):
        real[i] = unit[i] * (a[i] * c[i] - sign * b[i] * d[i])
        imaginary[i] = unit[i] * (b[i] * c[i] + sign * a[i] * d[i])


@kernel
def _factors(start: Array, c: Array, s: Array) -> tuple[float, float, float, float]:
    """Structure factors of (h, k, m) and (h, k, -m), real and imaginary parts."""
    real, imaginary = start[0], start[1]
    rc, rs, ic, si = 0.0, 0.0, 0.0, 0.0
    for i in range(c.size):
        rc += real[i] * c[i]
        rs += real[i] * s[i]
        ic += imaginary[i] * c[i]
        si += imaginary[i] * s[i]
    return rc - si, ic + rs, rc + si, ic - rs


@kernel
def _weighted(
    split: Splitting, row: int, m: int, factors: tuple[float, float, float, float], virial: Array
) -> tuple[float, float, float, float]:
    """Sum and difference of the weighted conjugate factors of (h, k, m) and (h, k, -m); adds to the virial."""
    h, k = split.waves[row, 0], split.waves[row, 1]
    plus, minus = split.weights[row, m, 0], split.weights[row, m, 1]
    u, v, w = split.reciprocal[0], split.reciprocal[1], split.reciprocal[2]
    for side in range(2):
        real, imaginary = factors[2 * side], factors[2 * side + 1]
        energy = split.weights[row, m, side] * (real * real + imaginary * imaginary)
        if energy > 0:
            n = m if side == 0 else -m
            wave = (h * u[0] + k * v[0] + n * w[0], h * u[1] + k * v[1] + n * w[1], h * u[2] + k * v[2] + n * w[2])
            square = wave[0] * wave[0] + wave[1] * wave[1] + wave[2] * wave[2]
            slope = 2 * energy * (1 / square + 0.25 / split.rate**2)
            for axis in range(3):
                virial[axis, axis] += energy
                for other in range(3):
                    virial[axis, other] -= slope * wave[axis] * wave[other]
    a, b, c, d = factors
    return plus * a + minus * c, -plus * b - minus * d, plus * a - minus * c, -plus * b + minus * d


@kernel
def _return(c: Array, s: Array, m: int, terms: tuple[float, float, float, float], back: Array, along: Array) -> None:
    """Add one m to each atom's sums."""
    a, b, d, e = terms
    real, imaginary, real_l, imaginary_l = back[0], back[1], along[0], along[1]
    for i in range(c.size):
        real[i] += c[i] * a - s[i] * e
        imaginary[i] += c[i] * b + s[i] * d
        real_l[i] += m * (c[i] * d - s[i] * b)
        imaginary_l[i] += m * (c[i] * e + s[i] * a)


@kernel
def _collect(start: Array, back: Array, along: Array, h: int, k: int, atomic: Array, slopes: Array) -> None:
    """Energies of the atoms and the forces on their phases, of all waves of one (h, k)."""
    real, imaginary = start[0], start[1]
    for i in range(atomic.size):
        atomic[i] += real[i] * back[0, i] - imaginary[i] * back[1, i]
        turn = 2 * (real[i] * back[1, i] + imaginary[i] * back[0, i])
        slopes[0, i] += h * turn
        slopes[1, i] += k * turn
        slopes[2, i] += 2 * (real[i] * along[1, i] + imaginary[i] * along[0, i])
