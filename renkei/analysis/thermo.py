"""Acceptance, statistics of dH, averages with errors, and what they cost in first-principles calls."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.special import erfc

from kernels import reweighting, sound_chain, statistics
from kernels.arrays import Array
from kernels.reweighting import WeightHealth
from kernels.statistics import Estimate
from renkei.analysis.ledger import Ledger, Row, by_walker
from renkei.analysis.path_integral import energy_difference

LOG_WEIGHT = "log_weight"  # of the ledger's observables: what a chain has that samples something else than the target


class Acceptance(NamedTuple):
    """Shares from 0 to 1; NaN without rows."""

    total: float  # accepted rows
    integrator: float  # mean of min(1, exp(-beta dH)) of the potential that drove the trajectory
    model: float  # the same for the rest: first principles against that potential


class EnergyErrors(NamedTuple):
    """Statistics of beta dH over the proposals that have an energy."""

    mean: float
    variance: float
    predicted_acceptance: float  # erfc(sqrt(mean) / 2), exact for a Gaussian
    without_energy: int  # proposals that have none: trapped, or refused by the engine


class Calls(NamedTuple):
    """First-principles calls of all rows, all phases, retries and failures counted."""

    calls: int
    failures: int


def acceptance(ledger: Ledger) -> Acceptance:
    """Acceptance of the rows, with the integrator's and the model's share apart."""
    if not len(ledger):
        return Acceptance(math.nan, math.nan, math.nan)
    total = float(ledger.accepted.mean())
    return Acceptance(total, _mean_probability(ledger.log_ratio_integrator), _mean_probability(ledger.log_ratio_model))


def exp_minus_beta_dH(ledger: Ledger) -> Estimate:
    """<exp(-beta dH)> over the proposals that have an energy; 1 in equilibrium."""
    return statistics.mean_exponential(by_walker(ledger, ledger.log_ratio))


def energy_errors(ledger: Ledger) -> EnergyErrors:
    """Mean and variance of beta dH, and the acceptance that a Gaussian of this mean would have."""
    finite = -ledger.log_ratio[np.isfinite(ledger.log_ratio)]
    if not len(finite):
        return EnergyErrors(math.nan, math.nan, math.nan, len(ledger))
    mean = float(finite.mean())
    return EnergyErrors(mean, float(finite.var()), float(erfc(0.5 * math.sqrt(max(mean, 0.0)))), len(ledger) - len(finite))


def variance_identity(ledger: Ledger) -> Estimate:
    """<beta dH> - Var(beta dH)/2 with its error; 0 in equilibrium where beta dH is Gaussian. NaN without two energies."""
    work = -by_walker(ledger, ledger.log_ratio)
    finite = np.isfinite(work)
    if finite.sum() < 2:
        return Estimate(math.nan, math.nan, math.nan, math.nan, int(finite.sum()))
    centre = float(work[finite].mean())
    away = np.where(finite, work - centre, 0.0)  # proposals without an energy count in no moment

    def of_means(m: Array) -> float:
        mean, square = m[0] / m[2], m[1] / m[2]
        return float(centre + mean - 0.5 * (square - mean**2))

    return statistics.estimate_function(np.stack([away, away**2, finite], axis=-1), of_means)


def averages(ledger: Ledger) -> dict[str, Estimate]:
    """Mean, error, autocorrelation time and effective sample size of every observable of the rows.

    Where the rows have `log_weight`, -beta (V of the target - V that was sampled), the means are reweighted to the target.
    Beside the rows' own observables stands `energy_difference_eV`, the primitive minus the virial energy, as one series:
    the two are correlated, so the error of the difference is not the difference of errors.
    """
    series = dict(ledger.observables)
    difference = energy_difference(ledger)
    if difference is not None:
        series["energy_difference_eV"] = difference
    columns = {name: by_walker(ledger, values) for name, values in series.items()}
    sound = {name: c for name, c in columns.items() if c.size and np.isfinite(c).all()}
    logs = sound.pop(LOG_WEIGHT, None)
    if logs is None:
        return {name: statistics.estimate(c) for name, c in sound.items()}
    return {name: reweighting.reweighted(c, logs) for name, c in sound.items()}


def log_weights(ledger: Ledger) -> Array | None:
    """Of the rows by walker, (T, W); None where the chain samples the target itself."""
    found = ledger.observables.get(LOG_WEIGHT)
    return None if found is None or not len(ledger) else by_walker(ledger, found)


def state_weights(ledger: Ledger, step: Array) -> Array | None:
    """ln of the weights (S, W) of the states after the steps (S,), which the rows hold; None where there are no weights."""
    logs = log_weights(ledger)
    if logs is None or not np.isfinite(logs).all():
        return None
    return of_states(ledger, ledger.observables[LOG_WEIGHT], step)


def of_states(ledger: Ledger, values: Array, step: Array) -> Array:
    """Values of the rows, (n,), as those (S, W) of the states after the steps (S,), which the rows hold; any unit."""
    return np.asarray(by_walker(ledger, values)[np.searchsorted(by_walker(ledger, ledger.step)[:, 0], step)])


def weight_health(ledger: Ledger) -> WeightHealth | None:
    """What the weights leave of the samples; None where there are none, or a row has none."""
    logs = log_weights(ledger)
    return None if logs is None or not np.isfinite(logs).all() else reweighting.weight_health(logs)


def rejections(ledger: Ledger) -> tuple[int, int]:
    """The longest run of rejections of any walker, and the longest that a sound chain may have."""
    return sound_chain.rejections(by_walker(ledger, ledger.accepted))


def engine_failure_share(ledger: Ledger) -> float:
    """Share of rows that a refusal of the engine or its guards decided (the target is +infinity there)."""
    if not len(ledger):
        return 0.0
    refused = (np.char.find(ledger.outcome, "engine_failure") >= 0) & ~ledger.accepted  # a row of many trials may have moved
    return float(refused.mean())


def engine_calls(rows: Iterable[Row]) -> Calls:
    """All first-principles calls that any row of the journals has paid for."""
    paid = [row for row in rows if row["event"] in ("startup", "step")]
    return Calls(sum(int(r.get("engine_calls") or 0) for r in paid), sum(int(r.get("engine_failures") or 0) for r in paid))


def running_acceptance(ledger: Ledger, window: int = 25) -> tuple[Array, Array]:
    """Acceptance over the last `window` steps of all walkers: (steps (K,), share (K,))."""
    steps = np.unique(ledger.step)
    if not len(steps):
        return steps, np.zeros(0)
    position = np.searchsorted(steps, ledger.step)
    taken = np.bincount(position, weights=ledger.accepted, minlength=len(steps))
    sums = np.stack([np.cumsum(taken), np.cumsum(np.bincount(position, minlength=len(steps)))])
    before = np.concatenate([np.zeros((2, min(window, len(steps)))), sums[:, :-window]], axis=1)
    recent = sums - before
    return steps, recent[0] / recent[1]


def _mean_probability(log_ratios: Array) -> float:
    finite = np.isfinite(log_ratios)
    return float(np.where(finite, np.exp(np.minimum(np.where(finite, log_ratios, 0.0), 0.0)), 0.0).mean())
