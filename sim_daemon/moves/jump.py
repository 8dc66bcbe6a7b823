"""How far a proposal leads: the squared displacement of the ring's centroids, by which the adapt phase chooses lengths."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array


def squared_jump(masses: Array, before: Array, after: Array, cells: tuple[Array, Array], pbc: Array) -> float:
    """Mass-weighted mean of |r' - r|^2 over the atoms, A^2; motion of the whole system does not count.

    masses: (N,), any unit.  before, after: centroids (N, 3) A, unwrapped.  cells: (3, 3) A before and after, of which the first
    is taken for both: what the cell alone has moved is no motion of atoms.  pbc: (3,) bool; a system that is not periodic may
    turn too (Kabsch's rotation). A single atom has no rest to move against: all of its way counts.
    """
    if not (cells[0] == cells[1]).all():
        after = after @ np.linalg.solve(cells[1], cells[0])
    if len(masses) == 1:
        return float(np.sum((after - before) ** 2))
    share = masses / masses.sum()
    here, there = before - share @ before, after - share @ after
    if not np.any(pbc):
        u, _, v = np.linalg.svd((share[:, None] * there).T @ here)
        turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
        there = there @ turn
    return float(share @ np.sum((there - here) ** 2, axis=1))
