"""Statistics of correlated series: autocorrelation time, effective samples, errors, R-hat, tails of weights.

A series is (T,) or (T, W): T steps of W independent walkers with equal step counts. Times are in steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import rankdata

from kernels.arrays import Array

WINDOW = 5.0  # Sokal's c: the sum stops at the smallest W >= c tau(W)
ALARM = 3.0  # standard errors by which one check of a block may be off, in the simulator as in the audit
FEWEST_SAMPLES = 50  # effective ones, below which error bars say little: no mean is quoted, no block is called exact
FEWEST_BLOCKS = 8  # fewer blocks than this say nothing about an error
HEADS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of a series, that are compared with the rest
FEWEST_TO_JUDGE = 40.0  # effective samples of a second half that may judge the first
FEWEST_IN_TAIL = 5  # weights that a tail can be fitted to


class Estimate(NamedTuple):
    """A mean with everything needed to judge it; NaN where the series is too short to tell."""

    mean: float  # unit of the series
    stderr: float  # unit of the series
    tau: float  # integrated autocorrelation time, steps; 0.5 = independent
    ess: float  # effective sample size of all walkers together
    samples: int  # T * W

    @property
    def effective(self) -> float:
        """Effective samples to judge by: a short antithetic series claims more than it has."""
        return min(self.ess, self.samples)


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


def start_drift(series: Array) -> float:
    """Standard errors by which the head of a series lies off the rest, the largest over heads of 1/32, 1/16 ... 1/2 of it.

    Variance and correlation are those of the second half, which a start that is ever forgotten does not reach; 0 where that half
    has fewer than 40 effective samples and says nothing.  series: (T,) or (T, W), any unit.
    """
    columns = _columns(series)
    steps, walkers = columns.shape
    if steps < 2:
        return 0.0
    half = estimate(columns[steps // 2 :])
    spread = float(columns[steps // 2 :].var())
    one = max(half.stderr**2 * half.samples, spread)  # variance that a sample brings into a mean: 2 tau Var
    rounding = (1e-10 * float(np.abs(columns).max())) ** 2
    if spread <= rounding or not half.samples * spread >= FEWEST_TO_JUDGE * one:
        return 0.0
    largest = 0.0
    for count in sorted({math.ceil(share * steps) for share in HEADS}):
        gap = abs(float(columns[:count].mean() - columns[count:].mean()))
        variance = (min(one / count, spread) + one / (steps - count)) / walkers
        largest = max(largest, gap / math.sqrt(variance))
    return largest


def burn_in(series: Array, alarm: float) -> int:
    """Steps at the start of a series that remember it: what must be left out before the rest is calm; 0 for a calm series.

    At most half of the steps, however the rest looks.  series: (T,) or (T, W), any unit.  alarm: bound of `start_drift`.
    """
    columns = _columns(series)
    if start_drift(columns) <= alarm:
        return 0
    for share in HEADS:
        count = math.ceil(share * len(columns))
        if start_drift(columns[count:]) <= alarm:
            return count
    return len(columns) // 2


def mean_exponential(log_ratios: Array) -> Estimate:
    """The mean of exp(log_ratio) over finite entries, with its block error: 1 in equilibrium (Creutz) if log_ratio = -beta dH.

    Leaving out the proposals without a finite energy keeps the identity: a reversible map pairs the others among
    themselves. Its error is never less than that of independent proposals: a heavy tail makes a short series
    look antithetic.
    log_ratios: (T,) or (T, W), no unit, NaN where not finite.
    """
    columns = _columns(log_ratios)
    finite = np.isfinite(columns)
    if not finite.any():
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    weights = np.exp(np.clip(np.where(finite, columns, 0.0), -700.0, 700.0))
    mean, share = float(weights[finite].mean()), float(finite.mean())
    # error of a ratio of two means (sum of weights over count): linearised, in blocks
    linear = np.where(finite, weights - mean, 0.0) / share
    found = estimate(linear)
    floor = float(linear.std()) / math.sqrt(linear.size)
    return Estimate(mean, max(found.stderr, floor), max(found.tau, 0.5), min(found.ess, linear.size) * share, int(finite.sum()))


def shared_alarm(alarm: float, tests: int) -> float:
    """Standard errors beyond which the worst of `tests` normal numbers lies as rarely as one lies beyond `alarm`."""
    return alarm if tests == 1 else -float(ndtri(ndtr(-alarm) / tests))


def _columns(series: Array) -> Array:
    array = np.asarray(series, dtype=np.float64)
    return array[:, None] if array.ndim == 1 else array


def _rounding(columns: Array) -> float:
    """Sum of squares below which a series is constant up to rounding."""
    return float(columns.size * (1e-14 * max(float(np.abs(columns).max()), 1e-300)) ** 2)


def estimate_function(series: Array, function: Callable[[Array], float]) -> Estimate:
    """A function of the means of K series that were observed together, e.g. a ratio or a covariance.

    The error is the larger of two: the delete-one-block jackknife, and the correlated error of the linearised series
    sum_k df/dm_k (x_k - m_k), whose autocorrelation time and effective sample size are quoted. The jackknife also takes the
    bias of order 1/n out of the value.  series: (T, W, K), any units.  function: (K,) means -> a number.
    """
    moments = np.asarray(series, dtype=np.float64)
    means = moments.reshape(-1, moments.shape[2]).mean(axis=0)
    width = moments.reshape(-1, moments.shape[2]).std(axis=0)
    gradient = np.zeros(len(means))
    for k in np.flatnonzero(width > 0):
        step = np.zeros(len(means))
        step[k] = 1e-3 * width[k]
        gradient[k] = (function(means + step) - function(means - step)) / (2 * step[k])
    linear = estimate(np.einsum("twk,k->tw", moments - means, gradient))
    length = block_length(moments.shape[0], linear.tau)
    blocks = np.stack([block_means(moments[:, :, k], length).ravel() for k in range(len(means))], axis=1)
    value, error = function(means), math.nan
    if len(blocks) > 1:
        value, error = jackknife(blocks, function)
    return Estimate(value, float(np.fmax(linear.stderr, error)), linear.tau, linear.ess, linear.samples)


def jackknife(blocks: Array, function: Callable[[Array], float]) -> tuple[float, float]:
    """Value without its bias of order 1/B, and standard error, of a function of means, from means of B independent blocks.

    blocks: (B, K), B >= 2, any units.  function: (K,) -> a number.
    """
    count = len(blocks)
    total = blocks.sum(axis=0)
    without = np.array([function((total - block) / (count - 1)) for block in blocks])
    value = count * function(total / count) - (count - 1) * float(without.mean())
    return value, math.sqrt((count - 1) * float(without.var()))


def split_r_hat(series: Array) -> float:
    """Split, rank-normalised R-hat of a series (T,) or (T, W): 1 where all halves of all walkers tell the same.

    Every walker is cut in halves of n steps; the ranks of all values become normal scores; then
    sqrt(((n - 1)/n W + B/n) / W) with the variances within (W) and between (B) the halves (Vehtari and others, 2021).
    NaN below 4 steps; 1 for a constant series.
    """
    columns = _columns(series)
    half = columns.shape[0] // 2
    if half < 2:
        return math.nan
    chains = np.concatenate([columns[:half], columns[-half:]], axis=1)
    ranks = rankdata(chains.ravel()).reshape(chains.shape)
    scores = ndtri((ranks - 0.375) / (chains.size + 0.25))
    within = float(scores.var(axis=0, ddof=1).mean())
    between = half * float(scores.mean(axis=0).var(ddof=1))
    if within <= 0:
        return 1.0 if between <= 0 else math.inf
    return math.sqrt(((half - 1) / half * within + between / half) / within)


def kish(log_weights: Array) -> tuple[float, float]:
    """Effective number of weighted samples (sum w)^2 / sum w^2, and the largest normalised weight.

    log_weights: (n,) or (T, W), no unit; a common constant plays no part.
    """
    flat = np.asarray(log_weights, dtype=np.float64).ravel()
    weights = np.exp(flat - flat.max())
    return float(weights.sum() ** 2 / (weights**2).sum()), float(weights.max() / weights.sum())


def pareto_k(log_weights: Array) -> float:
    """Shape of the generalised Pareto distribution that the largest weights follow: min(n/5, 3 sqrt(n)) of them.

    0: an exponential tail, negative: weights with a bound, above 0.5: no variance, above 1: no mean. Fit by Zhang and
    Stephens (2009), shrunk to 0.5 by ten imagined points (Vehtari and others, 2024). NaN where the tail has less than five
    weights, minus infinity where they are all equal.  log_weights: (n,) or (T, W), no unit; a common constant plays no part.
    """
    flat = np.sort(np.asarray(log_weights, dtype=np.float64).ravel())
    tail = math.ceil(min(0.2 * flat.size, 3 * math.sqrt(flat.size)))
    if tail < FEWEST_IN_TAIL:
        return math.nan
    weights = np.exp(flat - flat[-1])
    excess = weights[-tail:] - weights[-tail - 1]
    if excess[-1] <= 1e-12:
        return -math.inf
    quartile = excess[int(tail / 4 + 0.5) - 1]
    if quartile <= 0:  # a tied threshold: repeated states
        quartile = excess[excess > 0][0]
    count = 30 + int(math.sqrt(tail))
    guesses = 1 / excess[-1] + (1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))) / (3 * quartile)
    shapes = np.log1p(-guesses[:, None] * excess).mean(axis=1)
    likelihood = tail * (np.log(-guesses / shapes) - shapes - 1)
    guess = float(np.sum(guesses * np.exp(likelihood - logsumexp(likelihood))))
    shape = float(np.log1p(-guess * excess).mean())
    return (tail * shape + 10 * 0.5) / (tail + 10)
