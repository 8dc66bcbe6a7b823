"""The two-body energy below the networks (kernels/baseline.py), fitted to forces: what the networks need not learn.

Non-negative least squares, then made safe: every pair that was seen has a wall of at least WALL_EV at the shortest distance seen,
and its energy falls with the distance everywhere below MONOTONE times that.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from kernels.arrays import Array

WALL_EV = 0.01  # 0.15 eV at 0.8 of the distance, 4.6 eV at 0.6
MONOTONE = 0.8


def fit(columns: Array, forces: Array, shortest_A: Array) -> Array:
    """Coefficients (C,) of kernels.baseline.columns, none negative.

    columns: (n, C) forces of each coefficient alone.  forces: (n,) eV/A.  shortest_A: (C / 2,) shortest distance of each species
    pair, infinite for one that was never seen, which gets nothing.
    """
    seen = np.isfinite(shortest_A)
    sizes = np.sqrt(np.sum(columns**2, axis=0))
    usable = np.flatnonzero(np.tile(seen, 2) & (sizes > 0))
    found = np.zeros(columns.shape[1])
    if len(usable):
        # the triangular factor has the same normal equations in C rows
        scaled = np.column_stack([columns[:, usable] / sizes[usable], forces])
        triangle = np.asarray(np.linalg.qr(scaled, mode="r"))
        found[usable] = nnls(triangle[:, :-1], triangle[:, -1])[0] / sizes[usable]
    repulsion, attraction = np.split(found, 2)
    reach = np.where(seen, shortest_A, 0.0)
    repulsion = np.maximum(repulsion, WALL_EV * reach**12)
    most = np.divide(2 * repulsion, (MONOTONE * reach) ** 6, out=np.zeros_like(reach), where=seen)
    return np.concatenate([repulsion, np.minimum(attraction, most)])
