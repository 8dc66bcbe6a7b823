"""How far centroids have moved between two states, cells that breathe taken out. Monte Carlo steps are not time."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array


def squared_displacements(now: Array, before: Array, cell_now: Array, cell_before: Array, pbc: Array) -> Array:
    """Squared distance of every atom between two states.

    Where the cell has changed, the scaled coordinates are compared in the mean of both cells: a crystal under a breathing
    cell has not diffused. Positions are unwrapped, as trajectories keep them.
    now, before: (..., N, 3) A.  cell_now, cell_before: (..., 3, 3) A.  pbc: (3,) bool.  Returns (..., N) A^2.
    """
    if not np.all(pbc) or np.array_equal(cell_now, cell_before):
        return np.asarray(((now - before) ** 2).sum(axis=-1))
    moved = now @ np.linalg.inv(cell_now) - before @ np.linalg.inv(cell_before)
    return np.asarray(((moved @ (0.5 * (cell_now + cell_before))) ** 2).sum(axis=-1))
