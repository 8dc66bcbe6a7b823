"""Contract of a neighbour list.

To add a backend: a file here that defines `pairs: NeighborList`, held equal to reference.py by its test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array


class Pairs(NamedTuple):
    """All neighbours of all atoms, sorted by first atom; self-images are included, the atom itself is not."""

    first: Array  # (M,) int
    second: Array  # (M,) int
    shift: Array  # (M, 3) int, lattice vectors added to the second atom
    vector: Array  # (M, 3) A, r_second + shift @ cell - r_first
    distance: Array  # (M,) A, at most the cut-off


NeighborList = Callable[[Array, Array, Array, float], Pairs]
"""positions (N, 3) A, cell (3, 3) A, pbc (3,) bool, cut-off A -> Pairs. Any cell; atoms may lie outside it."""


class Lattice(NamedTuple):
    """A cell whose rows along open directions are unit vectors normal to the periodic ones."""

    vectors: Array  # (3, 3) A
    inverse: Array  # (3, 3) 1/A; positions @ inverse = fractional coordinates
    heights: Array  # (3,) A, distance between opposite faces
    periodic: Array  # (3,) bool


def lattice(cell: Array, pbc: Array) -> Lattice:
    """The lattice of a cell, whatever stands in its open directions.

    cell: (3, 3) A.  pbc: (3,) bool.  Raises ValueError if the periodic vectors span no volume.
    """
    periodic = np.array(pbc, dtype=np.bool_)
    if not periodic.any():
        return Lattice(np.eye(3), np.eye(3), np.ones(3), periodic)
    vectors = np.array(cell, dtype=np.float64)
    if vectors.shape != (3, 3) or periodic.shape != (3,) or not np.isfinite(vectors).all():
        raise ValueError("a cell is three finite vectors and three periodicity flags")
    if not periodic.all():
        normals = np.linalg.svd(vectors[periodic])[2][periodic.sum() :]
        vectors[~periodic] = normals
    lengths = np.linalg.norm(vectors, axis=1)
    if not abs(np.linalg.det(vectors)) > 1e-9 * lengths.prod():
        raise ValueError(f"the periodic cell vectors span no volume: {vectors.tolist()}")
    inverse = np.ascontiguousarray(np.linalg.inv(vectors))
    return Lattice(vectors, inverse, 1 / np.linalg.norm(inverse, axis=0), periodic)
