"""The shortest of a vector's periodic images, in any cell."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.neighbors.base import lattice

ROUNDING = 1e-12  # relative; a lattice vector that shortens nothing by more is not tried


class _Images(NamedTuple):
    """A cell, and the shortest vectors of the same lattice; open directions have unit normals."""

    vectors: Array  # (3, 3) A
    inverse: Array  # (3, 3) 1/A
    sure_A2: float  # a vector shorter than half the shortest lattice vector has no shorter image
    reduced: Array  # (3, 3) A
    reduced_inverse: Array  # (3, 3) 1/A
    shifts: Array  # (K, 3) A, that may shorten a vector which is wrapped in the reduced cell; none where the cell is rectangular


def minimum_images(vectors: Array, cell: Array, pbc: Array) -> Array:
    """The same vectors, each less a whole lattice vector: the shortest of all images; (..., 3) A.

    Folding fractional components into [-1/2, 1/2) finds it in rectangular cells alone; in others the neighbours of the
    folded vector in the reduced cell are tried, for those vectors that may have a shorter image.
    cell: (3, 3) A.  pbc: (3,) bool.  Raises ValueError if the periodic vectors span no volume.
    """
    periodic = np.array(pbc, dtype=np.bool_)
    if not periodic.any():
        return vectors
    images = _images(np.array(cell, dtype=np.float64).tobytes(), periodic.tobytes())
    found = _fold(vectors, images.vectors, images.inverse, periodic)
    if not len(images.shifts):
        return found
    far = (found**2).sum(axis=-1) > images.sure_A2
    if far.any():
        found[far] = _shortest(_fold(found[far], images.reduced, images.reduced_inverse, periodic), images.shifts)
    return found


def folded(vectors: Array, cell: Array, pbc: Array) -> Array:
    """The same vectors with fractional components in [-1/2, 1/2) along periodic directions; (..., 3) A.

    In a cell that is not rectangular these need not be the shortest images: see `minimum_images`, with the same arguments.
    """
    whole = lattice(cell, pbc)
    return _fold(vectors, whole.vectors, whole.inverse, whole.periodic)


def _fold(vectors: Array, cell: Array, inverse: Array, periodic: Array) -> Array:
    turns = np.where(periodic, np.floor(vectors @ inverse + 0.5), 0.0)
    return np.asarray(vectors - turns @ cell)


def _shortest(vectors: Array, shifts: Array) -> Array:
    """Vectors (n, 3) A or their sums with one of the shifts (K, 3) A; no more than one of these sums is held at once."""
    best, squares = vectors.copy(), (vectors**2).sum(axis=-1)
    for shift in shifts:
        moved = vectors + shift
        lengths = (moved**2).sum(axis=-1)
        shorter = lengths < squares
        best[shorter], squares[shorter] = moved[shorter], lengths[shorter]
    return best


@lru_cache(maxsize=64)
def _images(cell: bytes, pbc: bytes) -> _Images:
    from ase.geometry import minkowski_reduce

    periodic = np.frombuffer(pbc, dtype=np.bool_)
    whole = lattice(np.frombuffer(cell).reshape(3, 3), periodic)
    reduced = np.array(minkowski_reduce(whole.vectors, periodic)[0])
    steps = np.array([s for s in itertools.product(*((-1, 0, 1) if p else (0,) for p in periodic)) if any(s)], dtype=float)
    shifts = steps @ reduced
    # |v + s| < |v| needs -2 v.s > |s|^2, and a folded v has at most |a_1.s| + |a_2.s| + |a_3.s| there, a_k the periodic vectors
    most = np.abs(shifts @ reduced[periodic].T).sum(axis=1)
    helps = most > (1 + ROUNDING) * (shifts**2).sum(axis=1)
    shortest_A2 = float((reduced[periodic] ** 2).sum(axis=1).min())
    return _Images(whole.vectors, whole.inverse, shortest_A2 / 4, reduced, np.linalg.inv(reduced), shifts[helps])
