"""Statistics of correlated series: autocorrelation time, effective sample size, block errors, long rejection runs.

A series is (T,) or (T, W): T steps of W independent walkers with equal step counts. Times are in steps.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import erfcinv, ndtr

from kernels.arrays import Array

WINDOW = 5.0  # Sokal's c: the sum stops at the smallest W >= c tau(W)
RUN_FALSE_ALARM = 1e-4
SHORTEST_RUN = 20  # rejections in a row that are never held against a chain
LEAST_ACCEPTANCE = 0.05  # below it nothing is learned from rejections
FEWEST_BLOCKS = 8  # fewer blocks than this say nothing about an error


class Estimate(NamedTuple):
    """A mean with everything needed to judge it; NaN where the series is too short to tell."""

    mean: float  # unit of the series
    stderr: float  # unit of the series
    tau: float  # integrated autocorrelation time, steps; 0.5 = independent
    ess: float  # effective sample size of all walkers together
    samples: int  # T * W


def autocorrelation(series: Array) -> Array:
    """Normalised autocorrelation rho(t), averaged over walkers about their common mean.

    series: (T,) or (T, W), any unit.  Returns (T,), rho(0) = 1; all zeros but rho(0) for a constant series.
    """
    columns = _columns(series)
    steps = columns.shape[0]
    centred = columns - columns.mean()
    size = 1 << (2 * steps - 1).bit_length()  # zero padding: no wrap-around of the lags
    spectrum = np.abs(np.fft.rfft(centred, n=size, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, n=size, axis=0)[:steps].sum(axis=1)
    if covariance[0] <= _rounding(columns):
        return np.concatenate([np.ones(1), np.zeros(steps - 1)])
    # biased (divided by T at every lag): the unbiased tail is noise that the window would have to fight
    return np.asarray(covariance / covariance[0])


def autocorrelation_time(series: Array, window: float = WINDOW) -> float:
    """Integrated autocorrelation time tau = 1/2 + sum_t rho(t) with Sokal's self-consistent window, in steps.

    series: (T,) or (T, W), any unit.  Antithetic series give less than 1/2.
    """
    correlation = autocorrelation(series)
    running = 0.5 + np.concatenate([np.zeros(1), np.cumsum(correlation[1:])])
    enough = np.flatnonzero(np.arange(len(running)) >= window * running)
    stop = int(enough[0]) if len(enough) else len(running) - 1
    # an alternating series can stop at W = 1, in the middle of its oscillation: go on until the window holds a few terms
    stop = max(stop, min(math.ceil(2 * window), len(running) - 1)) if running[stop] < 0.5 else stop
    return float(max(running[stop], 1.0 / (2 * len(running))))


def effective_samples(series: Array) -> float:
    """Effective sample size T W / (2 tau) of a series (T,) or (T, W); more than T W for antithetic ones."""
    return _columns(series).size / (2 * autocorrelation_time(series))


def block_means(series: Array, length: int) -> Array:
    """Means of consecutive blocks of `length` steps; a remainder at the start of the series is left out.

    series: (T,) or (T, W), any unit.  Returns (T // length, W).
    """
    columns = _columns(series)
    count = columns.shape[0] // length
    return np.asarray(columns[columns.shape[0] - count * length :].reshape(count, length, -1).mean(axis=1))


def block_length(steps: int, tau: float) -> int:
    """Steps per block: ten autocorrelation times (which leaves 5 % of bias) and ten steps, but at least eight blocks."""
    return max(1, min(math.ceil(10 * max(tau, 1.0)), steps // FEWEST_BLOCKS))


def blocked_error(series: Array, length: int | None = None) -> float:
    """Standard error of the mean from block means; NaN with fewer than two blocks.

    series: (T,) or (T, W), any unit.  length: steps per block, chosen from tau if not given.
    """
    columns = _columns(series)
    length = length or block_length(columns.shape[0], autocorrelation_time(columns))
    means = block_means(columns, length)
    return float(means.std(ddof=1) / math.sqrt(means.size)) if means.size > 1 else math.nan


def estimate(series: Array) -> Estimate:
    """Mean, standard error, autocorrelation time and effective sample size.

    The error is the larger of sqrt(2 tau Var / n) and the block error: both are consistent, and both err downwards
    in short runs.  series: (T,) or (T, W), any unit; not empty.
    """
    columns = _columns(series)
    tau = autocorrelation_time(columns)
    if columns.size < 2:
        return Estimate(float(columns.mean()), math.nan, tau, math.nan, columns.size)
    correlated = math.sqrt(2 * tau * float(columns.var(ddof=1)) / columns.size)
    stderr = float(np.nanmax([correlated, blocked_error(columns)]))
    return Estimate(float(columns.mean()), stderr, tau, columns.size / (2 * tau), columns.size)


def mean_exponential(log_ratios: Array) -> Estimate:
    """The mean of exp(log_ratio) over finite entries, with its block error: 1 in equilibrium (Creutz) if log_ratio = -beta dH.

    Leaving out the proposals without a finite energy keeps the identity: a reversible map pairs the others among
    themselves.  log_ratios: (T,) or (T, W), no unit, NaN where not finite.
    """
    columns = _columns(log_ratios)
    finite = np.isfinite(columns)
    if not finite.any():
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    weights = np.exp(np.clip(np.where(finite, columns, 0.0), -700.0, 700.0))
    if finite.all():
        return estimate(weights)
    mean = float(weights[finite].mean())
    # error of a ratio of two means (sum of weights over count): linearised, in blocks
    residual = np.where(finite, weights - mean, 0.0)
    linear = estimate(residual / finite.mean())
    return Estimate(mean, linear.stderr, linear.tau, linear.ess * float(finite.mean()), int(finite.sum()))


def longest_run(flags: Array) -> int:
    """The largest number of consecutive true entries along the steps of any walker; flags: (T,) or (T, W) bool."""
    longest = 0
    for column in _columns(flags).astype(bool).T:
        ends = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        longest = max(longest, int(np.max(ends[1::2] - ends[::2], initial=0)))
    return longest


def _columns(series: Array) -> Array:
    array = np.asarray(series, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _rounding(columns: Array) -> float:
    """Sum of squares below which a series is constant up to rounding."""
    return float(columns.size * (1e-14 * max(float(np.abs(columns).max()), 1e-300)) ** 2)


def longest_rejection_run(acceptance: float, steps: int, seen: int) -> int:
    """Rejections in a row that a healthy chain of `steps` exceeds with probability 1e-4, and at least 20.

    seen: the longest run of this chain; it says nothing in its own favour, so the acceptance is taken outside of it.

    A chain sits long where the surrogate is wrong by much. Gaussian residuals beta (V_FP - V_ML) with the standard deviation s
    that belongs to the acceptance erfc(s / 2) are Normal(-s^2, s^2) in the chain if Normal(0, s^2) in the proposals; from a state
    with residual d a share Phi(d / s) + exp(d + s^2 / 2) Phi(-d / s - s) is accepted, and so many runs begin there.
    """
    acceptance *= steps / max(steps - seen, 1)
    if not 0 < acceptance < 1:
        return SHORTEST_RUN
    s = 2 * float(erfcinv(max(acceptance, LEAST_ACCEPTANCE)))
    z = np.linspace(-8.0, 8.0, 801)
    weight = np.exp(-0.5 * z**2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    residual = s * z - s * s
    leave = np.minimum(1.0, ndtr(residual / s) + np.exp(residual + 0.5 * s * s) * ndtr(-residual / s - s))
    run = SHORTEST_RUN
    while steps * float(np.sum(weight * leave * (1 - leave) ** run)) > RUN_FALSE_ALARM:
        run += 1 + run // 20
    return run
