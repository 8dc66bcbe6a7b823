"""Whether a chain shows what a sound one with a surrogate of its acceptance may show.

A chain sits long where the surrogate is wrong by much, and the mean of exp(-beta dH) then hangs on rare proposals. The yardstick
are independence chains with Gaussian residuals d = beta (V_FP - V_ML): of standard deviation s, Normal(0, s^2) in the proposals
and Normal(-s^2, s^2) in the chain, their acceptance is erfc(s / 2).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erfcinv, ndtr

from kernels.arrays import Array
from kernels.statistics import mean_exponential

RUN_FALSE_ALARM = 1e-4
SHORTEST_RUN = 20  # rejections in a row that are never held against a chain
LEAST_ACCEPTANCE = 0.05  # below it nothing is learned from rejections
LEAST_TO_COMPARE = 0.1  # acceptance below which sound chains show anything, so that none is taken as a yardstick
LARGEST_SIMULATION = 2**24  # numbers; chains longer than fits are simulated shorter, which has heavier tails
ROUNDING = 1e-6  # of the mean of exp(-beta dH) of an exact integrator


def untested(log_ratios: Array, accepted: Array) -> bool:
    """Whether a chain moves without a Metropolis test, as dynamics does: something was accepted without a ratio (NaN).

    log_ratios, accepted: same shape.
    """
    return bool(np.any(np.asarray(accepted, bool) & np.isnan(log_ratios)))


def longest_run(flags: Array) -> int:
    """The largest number of consecutive true entries along the steps of any walker; flags: (T,) or (T, W) bool."""
    longest = 0
    for column in (flags[:, None] if flags.ndim == 1 else flags).T:
        ends = np.flatnonzero(np.diff(np.concatenate([[0], column.astype(np.int8), [0]])))
        longest = max(longest, int(np.max(ends[1::2] - ends[::2], initial=0)))
    return longest


def rejections(accepted: Array) -> tuple[int, int]:
    """The longest run of rejections of any walker, and the longest that a sound chain may have; accepted: (T,) or (T, W)."""
    taken = np.asarray(accepted, bool)
    longest = longest_run(~taken)
    return longest, longest_rejection_run(float(taken.mean()) if taken.size else 0.0, taken.size, longest)


def longest_rejection_run(acceptance: float, steps: int, seen: int) -> int:
    """Rejections in a row that a healthy chain of `steps` exceeds with probability 1e-4, and at least 20.

    seen: the longest run of this chain; it says nothing in its own favour, so the acceptance is taken outside of it.

    From a state with residual d a share Phi(d / s) + exp(d + s^2 / 2) Phi(-d / s - s) is accepted, and so many runs begin there.
    """
    s = _spread(acceptance, steps, seen)
    if not s:
        return SHORTEST_RUN
    z = np.linspace(-8.0, 8.0, 801)
    weight = np.exp(-0.5 * z**2) * (z[1] - z[0]) / math.sqrt(2 * math.pi)
    residual = s * z - s * s
    leave = np.minimum(1.0, ndtr(residual / s) + np.exp(residual + 0.5 * s * s) * ndtr(-residual / s - s))
    run = SHORTEST_RUN
    while steps * float(np.sum(weight * leave * (1 - leave) ** run)) > RUN_FALSE_ALARM:
        run += 1 + run // 20
    return run


def _spread(acceptance: float, steps: int, seen: int) -> float:
    """Standard deviation of the residuals that belongs to an acceptance outside the longest run; 0 where it tells nothing."""
    acceptance *= steps / max(steps - seen, 1)
    return 2 * float(erfcinv(max(acceptance, LEAST_ACCEPTANCE))) if 0 < acceptance < 1 else 0.0


def creutz_holds(log_ratios: Array, accepted: Array, alarm: float) -> bool:
    """Whether the mean of exp(log_ratio), log_ratio = -beta dH, is 1 as far as the chain can tell.

    Its error is normal only while the surrogate is good: of sound chains with acceptance 0.2 one in seven lies beyond 3 of its
    own standard errors. So where the mean is further than `alarm` of them from 1, sound chains of the same acceptance and size
    are simulated, as many as have one false alarm among them, and it holds if any of these is as far off, in its own errors.
    Below an acceptance of 0.1 nothing is excused.
    log_ratios: (T,) or (T, W), NaN where not finite; accepted: same shape; alarm: standard errors.
    """
    found = mean_exponential(log_ratios)
    gap = abs(found.mean - 1)
    error = found.stderr if math.isfinite(found.stderr) else 0.0
    if gap <= ROUNDING + alarm * error:
        return True
    spread = _spread(float(accepted.mean()), accepted.size, longest_run(~accepted))
    poorest = 2 * float(erfcinv(LEAST_TO_COMPARE))
    if not error or not 0 < spread <= poorest:  # there is no error either where no proposal has an energy
        return False
    chains, walkers = math.ceil(0.5 / float(ndtr(-alarm))), log_ratios.size // len(log_ratios)
    steps = min(len(log_ratios), LARGEST_SIMULATION // (chains * walkers))
    others = (mean_exponential(chain) for chain in _sound_chains(spread, chains, steps, walkers))
    return any(abs(other.mean - 1) >= gap / error * other.stderr for other in others)


def _sound_chains(spread: float, chains: int, steps: int, walkers: int) -> Array:
    """-beta dH of independence chains with Gaussian residuals: (chains, steps, walkers)."""
    rng = np.random.default_rng(1)
    here = rng.normal(-(spread**2), spread, (chains, walkers))
    ratios = np.empty((steps, chains, walkers))
    for step in range(steps):
        there = rng.normal(0.0, spread, here.shape)
        ratios[step] = here - there
        here = np.where(-rng.exponential(size=here.shape) < ratios[step], there, here)
    return ratios.swapaxes(0, 1)
