"""Two-level estimator: a long average over the surrogate's own ensemble, corrected on rings that first principles have labelled.

<A> = <A_ML>_1 + (<w A_FP>/<w> - <A_ML>)_2,  w = exp(-u),  u = beta (V_FP - V_ML), bead averages (docs/methods.md).
A run is (T, W): T samples of W walkers; where no ring was labelled, the target's columns are NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.statistics import Estimate

LARGEST_SPREAD = 0.35  # of u over the labelled rings, with which a mean may be quoted
LARGEST_R_HAT = 1.05  # over the starts of the surrogate's run, below which it must lie


class TwoLevelMean(NamedTuple):
    """A two-level mean with the terms that it is the sum of."""

    whole: Estimate  # ess: variance of the target's ensemble over stderr^2; samples: of the first level
    surrogate: Estimate  # first level
    correction: Estimate  # second level; samples: labelled rings


def combine(surrogate: Array, target: Array, log_weights: Array) -> TwoLevelMean:
    """The two-level mean of one observable.

    surrogate: (T, W), of the surrogate's energies and forces, every sample.  target: (T, W), of first principles, NaN where
    not labelled.  log_weights: (T, W), -u, NaN likewise.  The error is that of all means together, by blocks of the run and by
    the delete-one-block jackknife: both levels are one run, and their errors are correlated.
    """
    labelled = np.isfinite(log_weights)
    weights = np.where(labelled, np.exp(log_weights - np.max(log_weights[labelled])), 0.0)
    shift = float(surrogate.mean())  # a large total would leave few digits to its fluctuations
    first = surrogate - shift
    there = np.where(labelled, target - shift, 0.0)
    columns = np.stack([first, labelled, labelled * first, weights, weights * there], axis=-1)
    whole = statistics.estimate_function(columns, lambda m: shift + float(m[0] + m[4] / m[3] - m[2] / m[1]))
    correction = statistics.estimate_function(columns[..., 1:], lambda m: float(m[3] / m[2] - m[1] / m[0]))
    mean = float((weights * there).sum() / weights.sum())
    spread = float((weights * (there - mean) ** 2 * labelled).sum() / weights.sum())
    ess = spread / whole.stderr**2 if whole.stderr > 0 else math.nan
    rings = int(labelled.sum())
    return TwoLevelMean(whole._replace(ess=ess), statistics.estimate(surrogate), correction._replace(samples=rings))


def combine_function(surrogate: Array, target: Array, log_weights: Array, function: Callable[[Array], float]) -> Estimate:
    """A function of K two-level means, e.g. a covariance, with the error of all means together.

    surrogate, target: (T, W, K), of numbers about zero.  log_weights: (T, W), as for `combine`.  function: (K,) -> a number.
    """
    labelled = np.isfinite(log_weights)
    weights = np.where(labelled, np.exp(log_weights - np.max(log_weights[labelled])), 0.0)[..., None]
    there = np.where(labelled[..., None], target, 0.0)
    count, told = surrogate.shape[2], labelled[..., None].astype(float)
    columns = np.concatenate([told, weights, surrogate, told * surrogate, weights * there], axis=-1)

    def of_means(m: Array) -> float:
        first, again, weighted = m[2:].reshape(3, count)
        return function(first + weighted / m[1] - again / m[0])

    return statistics.estimate_function(columns, of_means)


def second_variance(surrogate: Array, target: Array, log_weights: Array) -> float:
    """Variance that one labelled ring brings in: Var[w (A_FP - <A_FP>)/<w> - A_ML], from n rings of the surrogate's ensemble.

    All arguments (n,), in any order of the rings.
    """
    weights = np.exp(log_weights - log_weights.max())
    weights = weights / weights.mean()
    mean = float((weights * target).mean())
    return float(np.var(weights * (target - mean) - surrogate, ddof=1))


def allocation(first: float, second: float, first_cost: float, second_cost: float) -> float:
    """Samples of the first level for each ring of the second: sqrt(V1 C2 / (V2 C1)), the least variance at a given cost.

    first, second: variances of one sample (2 tau Var) and of one ring, same unit.  costs: of one sample and one ring, same unit.
    """
    return math.sqrt(first * second_cost / (second * first_cost)) if second > 0 and first_cost > 0 else math.inf


def log_mean_exp(exponents: Array) -> Estimate:
    """ln <exp(x)> with its error; x: (T, W), NaN entries play no part.

    Forward, x = -u on the surrogate's rings: -beta dF; reverse, x = u on the target's rings: +beta dF.
    """
    known = np.isfinite(exponents)
    top = float(np.max(exponents[known]))
    factors = np.where(known, np.exp(np.where(known, exponents - top, 0.0)), 0.0)
    return statistics.estimate_function(np.stack([factors, known], axis=-1), lambda m: top + math.log(m[0] / m[1]))
