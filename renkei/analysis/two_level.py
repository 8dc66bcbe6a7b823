"""A two-level block: its averages from both levels of the surrogate's run, and the gate that they must pass to be quoted.

The gate asks for enough rings that lie apart, light weights, a small spread of u = beta (V_FP - V_ML), starts that agree, and a
chain of first principles beside it that agrees; what the surrogate never visits is not seen by any weight (docs/methods.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kernels import statistics, two_level
from kernels.arrays import Array
from kernels.two_level import TwoLevelMean
from renkei.analysis import thermo
from renkei.analysis.ledger import WALKS, Ledger, by_walker, decided, select
from renkei.analysis.verdict import Check, Outcome

SURROGATE = "surrogate_"  # before the names of observables with the surrogate's energies and forces
LEVELS = ("level_1", "level_2")
FEWEST_RINGS, APART_FS = 100, 100.0
FEWEST_EFFECTIVE, LEAST_SHARE = 50.0, 0.5  # of the weighted rings: Kish's number, and its share of them
LARGEST_WEIGHT, LARGEST_K = 0.1, 0.7
FORBIDDEN, FORBIDDEN_BEADS = -5.0, -12.0  # of u - beta dF: of a whole ring, and of a mean over a few beads


class SecondLevel(NamedTuple):
    """Rings of a two-level run and their weights; NaN where there are too few."""

    samples: int  # of the first level
    rings: int  # labelled
    apart_fs: float  # least time of the walk between two labelled rings of a walker
    n_eff: float
    largest_weight: float
    pareto_k: float
    spread: float  # of u
    beta_dF: float  # beta (F_FP - F_ML)
    beta_dF_stderr: float


class LabelledRing(NamedTuple):
    """A ring, or a part of one, that first principles have labelled in any phase, with the frozen model's word on it."""

    u: float  # beta (V_FP - V_ML), a mean over the beads at hand
    potential_eV: float  # V_FP, likewise
    whole: bool  # whether all beads are at hand
    said: str  # where it comes from


def walked(block: Ledger) -> bool:
    """Whether a production block has rows of a surrogate's walk: probes at least."""
    return bool(np.isin(block.move, WALKS).any())


def applies(block: Ledger) -> bool:
    """Whether its run of two levels has begun."""
    return bool(np.isin(block.move, LEVELS).any())


def run_of(block: Ledger) -> Ledger:
    """The rows of the surrogate's run: every sample of the first level, the labelled ones among them."""
    return select(block, np.isin(block.move, LEVELS))


def weights_of(block: Ledger) -> Array:
    """ln of the weights of the run, -u, (T, W); NaN where no ring was labelled."""
    run = run_of(block)
    return by_walker(run, run.observables.get(thermo.LOG_WEIGHT, np.full(len(run), np.nan)))


def averages(block: Ledger) -> dict[str, TwoLevelMean]:
    """The two-level mean of every observable that has both levels, and of primitive minus virial energy."""
    logs = weights_of(block)
    if np.isfinite(logs).sum() < statistics.FEWEST_BLOCKS:
        return {}
    return {name: two_level.combine(surrogate, target, logs) for name, (surrogate, target) in _columns(block).items()}


def correct(block: Ledger, series: Mapping[str, Array]) -> dict[str, TwoLevelMean]:
    """The same of observables of positions alone; series: by name, (T, W) each, of the rows of `run_of`."""
    logs = weights_of(block)
    return {name: two_level.combine(column, column, logs) for name, column in series.items()}


def facts(block: Ledger) -> SecondLevel:
    """The second level in numbers."""
    logs = weights_of(block)
    found = logs[np.isfinite(logs)]
    if len(found) < 2:
        return SecondLevel(logs.size, len(found), *[math.nan] * 7)
    forward, spread = two_level.log_mean_exp(logs), float(found.std(ddof=1))
    weights = (*statistics.kish(found), statistics.pareto_k(found))
    return SecondLevel(logs.size, len(found), _apart(block), *weights, spread, -forward.mean, forward.stderr)


def gate(block: Ledger) -> list[Check]:
    """What the ledger alone says of a two-level block; one check where there is too little to say more."""
    found = facts(block)
    enough = found.rings >= FEWEST_RINGS and found.apart_fs >= APART_FS - 1e-6
    told = f"{found.rings} labelled rings of {found.samples} samples, at least {found.apart_fs:.0f} fs apart"
    asked = f"; at least {FEWEST_RINGS} that are {APART_FS:.0f} fs apart are needed"
    rings = Check("rings", Outcome.HOLDS if enough else Outcome.FAILS, told if enough else told + asked)
    if found.rings < statistics.FEWEST_BLOCKS:
        return [rings]
    return [rings, _weights(block, found), _starts(block), _chain(block)]


def free_energies(block: Ledger, reverse_u: Array) -> Check:
    """beta (F_FP - F_ML) from the surrogate's rings against that from rings of the chain; reverse_u: (T, W), their u."""
    forward, reverse = two_level.log_mean_exp(weights_of(block)), two_level.log_mean_exp(reverse_u)
    gap, error = -forward.mean - reverse.mean, math.hypot(forward.stderr, reverse.stderr)
    said = f"beta dF is {-forward.mean:.3f} ± {forward.stderr:.3f} from the surrogate's rings"
    said += f" and {reverse.mean:.3f} ± {reverse.stderr:.3f} from the chain's"
    holds = abs(gap) <= statistics.ALARM * error
    return Check("free energy", Outcome.HOLDS if holds else Outcome.FAILS, said if holds else f"{said}: they disagree")


def forbidden(block: Ledger, rings: list[LabelledRing]) -> Check:
    """No labelled ring whose energy the ensemble has may be one that the surrogate all but forbids.

    A ring of u far below beta dF weighs exp(beta dF - u) in the target's ensemble: the surrogate's run does not get there, and no
    weight of that run tells it.
    """
    free = -two_level.log_mean_exp(weights_of(block)).mean
    potentials = block.observables["potential_energy_eV"]
    ceiling = float(np.nanmax(potentials))
    seen = [ring for ring in rings if ring.potential_eV <= ceiling]
    bad = [ring for ring in seen if not ring.u - free >= (FORBIDDEN if ring.whole else FORBIDDEN_BEADS)]
    if not bad:
        lowest = min((ring.u - free for ring in seen if ring.whole), default=math.nan)
        said = (
            f"on {len(seen)} stored labelled rings of such energies the surrogate forbids none (lowest u - beta dF {lowest:.1f})"
        )
        return Check("forbidden", Outcome.HOLDS, said)
    worst = min(bad, key=lambda ring: ring.u)
    said = f"the surrogate forbids {len(bad)} of {len(seen)} stored labelled rings (u - beta dF down to {worst.u - free:.1f}: "
    return Check("forbidden", Outcome.FAILS, f"{said}{worst.said}), so its run misses where they are")


def _columns(block: Ledger) -> dict[str, tuple[Array, Array]]:
    """Observable -> (surrogate's, target's), (T, W) each; the target's is NaN where no ring was labelled."""
    run = run_of(block)
    table = {name: by_walker(run, values) for name, values in run.observables.items()}
    both = {
        name: (table[f"{SURROGATE}{name}"], values)
        for name, values in table.items()
        if f"{SURROGATE}{name}" in table and np.isfinite(values).any()
    }
    if {"energy_primitive_eV", "energy_virial_eV"} <= both.keys():
        (p1, p2), (v1, v2) = both["energy_primitive_eV"], both["energy_virial_eV"]
        both["energy_difference_eV"] = (p1 - v1, p2 - v2)
    return both


def _apart(block: Ledger) -> float:
    """Least time of the walk between two labelled rings of a walker, fs."""
    run = run_of(block)
    clock = np.cumsum(by_walker(run, run.length_fs), axis=0)
    labelled = by_walker(run, run.move == LEVELS[1])
    gaps = [np.diff(clock[labelled[:, w], w]) for w in range(clock.shape[1])]
    return float(min((gap.min() for gap in gaps if len(gap)), default=math.inf))


def _weights(block: Ledger, found: SecondLevel) -> Check:
    labelled = select(block, block.move == LEVELS[1])
    if not np.isfinite(labelled.observables[thermo.LOG_WEIGHT]).all():
        return Check("weights", Outcome.FAILS, "the engine refused rings of the surrogate's run")
    told = f"n_eff {found.n_eff:.0f} of {found.rings}, largest weight {found.largest_weight:.3f}, "
    told += f"Pareto k {found.pareto_k:.2f}, spread of u {found.spread:.2f}"
    why = {
        f"n_eff must be at least {FEWEST_EFFECTIVE:.0f} and half of the rings": found.n_eff
        < max(FEWEST_EFFECTIVE, LEAST_SHARE * found.rings),
        f"no weight may be above {LARGEST_WEIGHT:g}": found.largest_weight > LARGEST_WEIGHT,
        f"k must be at most {LARGEST_K:g}": found.pareto_k > LARGEST_K,
        f"the spread must be at most {two_level.LARGEST_SPREAD:g}, train longer": found.spread > two_level.LARGEST_SPREAD,
    }
    wrong = "; ".join(reason for reason, holds in why.items() if holds)
    return Check("weights", Outcome.FAILS if wrong else Outcome.REWEIGHT, f"{told}: {wrong}" if wrong else told)


def _starts(block: Ledger) -> Check:
    """R-hat of every observable over the walkers of the surrogate's run, which began at several structures."""
    found = {name: statistics.split_r_hat(surrogate) for name, (surrogate, _) in _columns(block).items()}
    name = max(found, key=lambda key: found[key] if math.isfinite(found[key]) else math.inf)
    told = f"R-hat over the starts of the surrogate's run is at most {found[name]:.3f} ({name})"
    if found[name] < two_level.LARGEST_R_HAT:
        return Check("starts", Outcome.HOLDS, told)
    return Check("starts", Outcome.FAILS, f"{told}, not below {two_level.LARGEST_R_HAT}: let it run longer (surrogate_samples)")


def _chain(block: Ledger) -> Check:
    """Every two-level mean against that of the ordinary chain of the same block."""
    chain, scores = thermo.averages(decided(block)), {}
    for name, found in averages(block).items():
        if name in chain:
            error = math.hypot(chain[name].stderr, found.whole.stderr)
            scores[name] = (found.whole.mean - chain[name].mean) / error if error > 0 else 0.0
    if not scores:
        return Check("chain", Outcome.FAILS, "there is no chain of first principles to compare with")
    name = max(scores, key=lambda key: abs(scores[key]) if math.isfinite(scores[key]) else math.inf)
    told = f"{len(scores)} means against the chain beside it: z is at most {abs(scores[name]):.1f} ({name})"
    if abs(scores[name]) < statistics.ALARM:
        return Check("chain", Outcome.HOLDS, told)
    return Check("chain", Outcome.FAILS, f"{told}: the surrogate's run and first principles disagree")
