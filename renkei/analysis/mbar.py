"""Samples of several ensembles as one weighted set (MBAR, Shirts and Chodera 2008), in log space."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from kernels.arrays import Array

TOLERANCE = 1e-10  # of the free energies, kT
MOST_ITERATIONS = 20_000


def free_energies(log_densities: Array, counts: Array) -> Array:
    """Free energies f_k (K,), kT, f_0 = 0, that agree with themselves: exp(-f_k) = sum_i q_k(i) / sum_j n_j exp(f_j) q_j(i).

    log_densities: (K, n) ln of the density q_k, not normalised, of every sample in every ensemble that was sampled; a constant
    that a sample has in all of them plays no part.  counts: (K,) samples drawn from each, all positive.  Raises ValueError
    where they do not converge: ensembles that do not overlap.
    """
    found, logs = np.zeros(len(counts)), np.log(counts)
    for _ in range(MOST_ITERATIONS):
        mixture = logsumexp((logs + found)[:, None] + log_densities, axis=0)
        new = -logsumexp(log_densities - mixture, axis=1)
        new -= new[0]
        if np.abs(new - found).max() < TOLERANCE:
            return np.asarray(new)
        found = new
    raise ValueError("the ensembles of the blocks do not overlap")


def mixture_log_weights(log_densities: Array, counts: Array) -> Array:
    """ln of the weights (n,), to a constant, that turn all samples into one of the density 1: -ln sum_k n_k exp(f_k) q_k(i).

    So `log_densities` (K, n) are to be told relative to the ensemble that is wanted: with one ensemble they are the plain
    weights 1/q.  counts: (K,).
    """
    found = free_energies(log_densities, counts)
    return np.asarray(-logsumexp((np.log(counts) + found)[:, None] + log_densities, axis=0))
