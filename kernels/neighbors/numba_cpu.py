"""Cell list in Numba; a system of few atoms is one bin, which makes it brute force over lattice images."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.jit import entry, kernel
from kernels.neighbors.base import Lattice, Pairs, lattice

ONE_BIN_ATOMS = 200  # up to here bins cost more than they save
FARTHEST_A = 1e8  # a coordinate beyond it (or NaN) belongs to a trajectory that has exploded


class Found(NamedTuple):
    """Neighbours of atom i are the rows start[i] : start[i + 1]."""

    start: Array  # (N + 1,) int
    second: Array  # (capacity,) int
    shift: Array  # (capacity, 3) int
    vector: Array  # (capacity, 3) A
    distance: Array  # (capacity,) A


def pairs(positions: Array, cell: Array, pbc: Array, cutoff: float) -> Pairs:
    """Neighbours within the cut-off.

    positions: (N, 3) A, finite (else ValueError).  cell: (3, 3) A.  pbc: (3,) bool.  cutoff: A.
    """
    positions = np.array(positions, dtype=np.float64, order="C")
    if not is_usable(positions):
        raise ValueError("positions are not finite")
    found = search(positions, lattice(cell, pbc), float(cutoff))
    total = int(found.start[-1])
    first = np.repeat(np.arange(len(positions)), np.diff(found.start))
    return Pairs(first, found.second[:total], found.shift[:total], found.vector[:total], found.distance[:total])


@entry
def is_usable(positions: Array) -> bool:
    """Whether all coordinates are finite and of sane size.  positions: (N, 3) A."""
    for i in range(positions.shape[0]):
        for axis in range(3):
            if not abs(positions[i, axis]) < FARTHEST_A:
                return False
    return True


@entry
def search(positions: Array, box: Lattice, cutoff: float) -> Found:
    """The list, from inside other kernels.  positions: (N, 3) A, usable.  cutoff: A."""
    atoms = positions.shape[0]
    wrapped, offset, fractional, low, width = _wrap(positions, box)
    bins, reach = _bins(atoms, box, width, cutoff)
    head, members, where = _fill(fractional, low, width, bins)
    start = np.zeros(atoms + 1, np.int64)
    capacity = 16 * atoms + 16
    second, shift = np.empty(capacity, np.int64), np.empty((capacity, 3), np.int64)
    vector, distance = np.empty((capacity, 3)), np.empty(capacity)
    image, bound = np.zeros(3, np.int64), cutoff * cutoff
    count = 0
    for i in range(atoms):
        for a in range(where[i, 0] - reach[0], where[i, 0] + reach[0] + 1):
            for b in range(where[i, 1] - reach[1], where[i, 1] + reach[1] + 1):
                for c in range(where[i, 2] - reach[2], where[i, 2] + reach[2] + 1):
                    cell = _bin(a, b, c, bins, box.periodic, image)
                    if cell < 0:
                        continue
                    if count + head[cell + 1] - head[cell] > capacity:
                        grown = 2 * capacity + head[cell + 1] - head[cell]
                        second, distance = _grown(second, grown), _grown(distance, grown)
                        shift, vector = _grown_rows(shift, grown), _grown_rows(vector, grown)
                        capacity = grown
                    tx, ty, tz = _translation(image, box.vectors, wrapped, i)
                    here = image[0] == 0 and image[1] == 0 and image[2] == 0
                    for q in range(head[cell], head[cell + 1]):
                        j = members[q]
                        x, y, z = wrapped[j, 0] + tx, wrapped[j, 1] + ty, wrapped[j, 2] + tz
                        square = x * x + y * y + z * z
                        if square <= bound and not (here and i == j):
                            second[count], distance[count] = j, np.sqrt(square)
                            vector[count, 0], vector[count, 1], vector[count, 2] = x, y, z
                            for axis in range(3):
                                shift[count, axis] = image[axis] - offset[j, axis] + offset[i, axis]
                            count += 1
        start[i + 1] = count
    return Found(start, second, shift, vector, distance)


@kernel
def _wrap(positions: Array, box: Lattice) -> tuple[Array, Array, Array, Array, Array]:
    """Atoms moved into the cell, what moved them, and the extent of the bins along each axis."""
    atoms = positions.shape[0]
    wrapped, fractional = positions.copy(), np.empty((atoms, 3))
    offset = np.zeros((atoms, 3), np.int64)
    low, high = np.zeros(3), np.ones(3)
    for axis in range(3):
        for i in range(atoms):
            value = 0.0
            for k in range(3):
                value += positions[i, k] * box.inverse[k, axis]
            if box.periodic[axis]:
                offset[i, axis] = int(np.floor(value))
                value -= offset[i, axis]
                for k in range(3):
                    wrapped[i, k] -= offset[i, axis] * box.vectors[axis, k]
            elif i == 0:
                low[axis], high[axis] = value, value
            else:
                low[axis], high[axis] = min(low[axis], value), max(high[axis], value)
            fractional[i, axis] = value
    return wrapped, offset, fractional, low, high - low


@kernel
def _bins(atoms: int, box: Lattice, width: Array, cutoff: float) -> tuple[Array, Array]:
    """Number of bins along each axis, and how many bins away a neighbour can be."""
    bins, reach = np.ones(3, np.int64), np.zeros(3, np.int64)
    most = int((8 * atoms) ** (1 / 3)) + 1
    edge = cutoff * (1 + 1e-9)  # rounding must not push a neighbour out of reach
    for axis in range(3):
        extent = width[axis] * box.heights[axis]
        if atoms > ONE_BIN_ATOMS:
            bins[axis] = max(1, min(most, int(extent / edge)))
        if box.periodic[axis] or bins[axis] > 1:
            reach[axis] = int(np.ceil(edge * bins[axis] / extent))
    return bins, reach


@kernel
def _fill(fractional: Array, low: Array, width: Array, bins: Array) -> tuple[Array, Array, Array]:
    """Sort the atoms into bins; members of bin b are members[head[b] : head[b + 1]]."""
    atoms = fractional.shape[0]
    where = np.zeros((atoms, 3), np.int64)
    head = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    for i in range(atoms):
        for axis in range(3):
            if bins[axis] > 1:
                place = int((fractional[i, axis] - low[axis]) / width[axis] * bins[axis])
                where[i, axis] = min(max(place, 0), bins[axis] - 1)
        head[(where[i, 0] * bins[1] + where[i, 1]) * bins[2] + where[i, 2] + 1] += 1
    for b in range(head.size - 1):
        head[b + 1] += head[b]
    members, free = np.empty(atoms, np.int64), head.copy()
    for i in range(atoms):
        b = (where[i, 0] * bins[1] + where[i, 1]) * bins[2] + where[i, 2]
        members[free[b]] = i
        free[b] += 1
    return head, members, where


@kernel
def _bin(a: int, b: int, c: int, bins: Array, periodic: Array, image: Array) -> int:
    """Index of a bin that may lie in another lattice image (written to `image`), or -1 beyond an open side."""
    number = 0
    for axis, place in enumerate((a, b, c)):
        image[axis] = place // bins[axis]
        if image[axis] != 0 and not periodic[axis]:
            return -1
        number = number * bins[axis] + place - image[axis] * bins[axis]
    return number


@kernel
def _translation(image: Array, vectors: Array, wrapped: Array, i: int) -> tuple[float, float, float]:
    """What to add to an atom's wrapped place to see it from atom i in a lattice image, A."""
    x = image[0] * vectors[0, 0] + image[1] * vectors[1, 0] + image[2] * vectors[2, 0] - wrapped[i, 0]
    y = image[0] * vectors[0, 1] + image[1] * vectors[1, 1] + image[2] * vectors[2, 1] - wrapped[i, 1]
    z = image[0] * vectors[0, 2] + image[1] * vectors[1, 2] + image[2] * vectors[2, 2] - wrapped[i, 2]
    return x, y, z


@kernel
def _grown(old: Array, capacity: int) -> Array:
    """A longer copy of a vector."""
    new = np.empty(capacity, old.dtype)
    for k in range(old.size):
        new[k] = old[k]
    return new


@kernel
def _grown_rows(old: Array, capacity: int) -> Array:
    """A longer copy of an array of rows."""
    new = np.empty((capacity, 3), old.dtype)
    for k in range(old.shape[0]):
        for axis in range(3):
            new[k, axis] = old[k, axis]
    return new
