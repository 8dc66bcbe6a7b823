"""Slow and obvious: every pair in every lattice image that could matter."""

from __future__ import annotations

from itertools import product

import numpy as np

from kernels.arrays import Array
from kernels.neighbors.base import Pairs, lattice


def pairs(positions: Array, cell: Array, pbc: Array, cutoff: float) -> Pairs:
    """Neighbours within the cut-off.

    positions: (N, 3) A.  cell: (3, 3) A.  pbc: (3,) bool.  cutoff: A.
    """
    positions = np.asarray(positions, dtype=np.float64)
    box = lattice(cell, pbc)
    fractional = positions @ box.inverse
    spread = np.ptp(fractional, axis=0) if len(positions) else np.zeros(3)
    reach = np.where(box.periodic, np.ceil(cutoff / box.heights + spread), 0).astype(int)
    images = np.array(list(product(*(range(-r, r + 1) for r in reach))))
    found: list[tuple[int, int, Array, Array, float]] = []
    for i, here in enumerate(positions):
        for image in images:
            vectors = positions + image @ box.vectors - here
            distances = np.linalg.norm(vectors, axis=1)
            near = distances <= cutoff
            if not image.any():
                near[i] = False
            found += [(i, int(j), image, vectors[j], float(distances[j])) for j in np.flatnonzero(near)]
    first, second, shift, vector, distance = (list(column) for column in zip(*found, strict=True)) if found else ([],) * 5
    return Pairs(
        np.array(first, dtype=np.int64),
        np.array(second, dtype=np.int64),
        np.array(shift, dtype=np.int64).reshape(-1, 3),
        np.array(vector, dtype=np.float64).reshape(-1, 3),
        np.array(distance, dtype=np.float64),
    )
