"""The verdict on a production block, from a list of checks: exact, after reweighting, approximate, or not to be quoted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from kernels import reweighting, sound_chain, statistics
from renkei.analysis import burn_in, ladder, thermo
from renkei.analysis.ledger import WALKS, Ledger, Row, by_rung, by_walker, decided, lowest_rung, select

ENGINE_FAILURES_ALLOWED = 1e-3  # of the production rows
LARGEST_WEIGHT = 0.1  # share of one sample

EXACT, REWEIGHTED, APPROXIMATE, DO_NOT_QUOTE = "exact", "exact after reweighting", "approximate", "do not quote"
SEVERITY = (EXACT, REWEIGHTED, APPROXIMATE, DO_NOT_QUOTE)


class Outcome(StrEnum):
    """What a check says of the numbers."""

    HOLDS = "holds"
    TOLD = "told"  # a fact that no verdict hangs on
    SKIPPED = "skipped"
    REWEIGHT = "reweight"  # the averages need the samples' weights
    WEAK = "weak"  # approximate
    FAILS = "fails"  # do not quote


@dataclass(frozen=True)
class Check:
    """One line of the account."""

    name: str
    outcome: Outcome
    said: str  # what was found; the reason of the verdict where it does not hold


@dataclass(frozen=True)
class Verdict:
    """What may be said of the numbers, why not more, and everything that was looked at."""

    verdict: str
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()


def judge(blocks: Mapping[int, Ledger], rows: Sequence[Row], more: Sequence[Check] = ()) -> Verdict:
    """The verdict on the last full block.

    blocks: the production rows by block number.  rows: the journal of the same simulator.  more: checks of others.
    """
    if not blocks:
        return Verdict(DO_NOT_QUOTE, ("production has not begun",))
    full = full_blocks(blocks, rows)
    whole = blocks[quoted_number(blocks, full)]
    walked = np.isin(whole.move, WALKS)
    block = select(whole, ~walked)  # of two levels, the chain beside them
    checks = [_complete(full, whole), _frozen(whole)]
    if len(block):
        checks += [_of_every_rung(check, block) for check in (_creutz, _rejections, _estimators, _failures)]
        checks += _ladder(block)
        block = lowest_rung(block)
    if full:
        quoted = {number: lowest_rung(decided(one)) for number, one in full.items()}
        checks += [_adaptation(rows, whole), _earlier_blocks(quoted)]
    if full and not walked.any():  # `more` judges the samples of two levels
        checks += [_start(block, rows), _samples(block), _weights(block), _approximation(block)]
    checks += more
    if len(block) and not sound_chain.untested(block.log_ratio, block.accepted):
        checks += [_gaussian(block), _acceptance(block)]
    found = {check.outcome for check in checks}
    by_outcome = {Outcome.FAILS: DO_NOT_QUOTE, Outcome.WEAK: APPROXIMATE, Outcome.REWEIGHT: REWEIGHTED}
    name = next((name for outcome, name in by_outcome.items() if outcome in found), EXACT)
    reasons = [check.said for outcome in by_outcome for check in checks if check.outcome == outcome]
    return Verdict(name, tuple(reasons), tuple(checks))


def full_blocks(blocks: Mapping[int, Ledger], rows: Sequence[Row]) -> dict[int, Ledger]:
    """The blocks whose end stands in the journal."""
    ended = {row["block"] for row in rows if row["event"] == "block_end"}
    return {number: block for number, block in blocks.items() if number in ended}


def quoted_number(blocks: Mapping[int, Ledger], full: Mapping[int, Ledger]) -> int:
    """The block that is quoted: the last full one, the one that runs while there is none. There must be one."""
    return max(full or blocks)


def freeze_row(rows: Sequence[Row]) -> Row | None:
    """The row of the freeze that opened the last block, if there is one."""
    return next((row for row in reversed(rows) if row["event"] == "freeze"), None)


def converged(freeze: Row) -> bool:
    """Whether a freeze was made because every criterion was met."""
    criteria: Mapping[str, Any] = freeze.get("criteria") or {}
    met = criteria.get("met")
    return all(met.values()) if met else str(freeze.get("reason", "")) == "converged"


def _of_every_rung(check: Callable[[Ledger, float], Check], block: Ledger) -> Check:
    """A check of every temperature of a ladder by itself: the worst outcome, with the same chance of a false alarm."""
    rungs = by_rung(block)
    alarm = statistics.shared_alarm(statistics.ALARM, len(rungs))
    found = {kelvin: check(rows, alarm) for kelvin, rows in rungs.items()}
    kelvin, worst = max(found.items(), key=lambda item: list(Outcome).index(item[1].outcome))
    if len(rungs) == 1:
        return worst
    where = f"at {kelvin:.4g} K" if worst.outcome in (Outcome.WEAK, Outcome.FAILS) else f"at every rung; {kelvin:.4g} K"
    return replace(worst, said=f"{where}: {worst.said}")


def _ladder(block: Ledger) -> list[Check]:
    """Exchanges of neighbours: a rung that takes no part helps nobody, but its neighbours stay exact."""
    found = ladder.pairs(block)
    if not found:
        return []
    shares = ", ".join(f"{pair.lower_K:.4g}-{pair.upper_K:.4g} K {pair.acceptance:.2f}" for pair in found)
    trips, quoted = ladder.round_trips(block), found[0].lower_K
    said = f"exchanges accepted: {shares}; {trips} round trips; the averages are those of {quoted:.4g} K"
    return [Check("ladder", Outcome.TOLD, said)]


def _complete(full: Mapping[int, Ledger], block: Ledger) -> Check:
    steps = len(np.unique(block.step))
    if not full:
        return Check("block", Outcome.FAILS, f"no production block is complete ({steps} steps so far)")
    return Check(
        "block", Outcome.HOLDS, f"block {max(full)} is complete: {steps} steps of {len(np.unique(block.walker))} walkers"
    )


def _frozen(block: Ledger) -> Check:
    """One generation, one time step, and first principles decide every step."""
    for what, values in (("generation", block.generation), ("time step", block.timestep_fs)):
        seen = np.unique(values[np.isfinite(values)])
        if len(seen) > 1:
            listed = ", ".join(f"{value:g}" for value in seen[:4])
            return Check("frozen", Outcome.FAILS, f"the {what} changed within the production block ({listed})")
    walked = np.isin(block.move, WALKS)
    foreign = int((block.move != "metropolis").sum() - walked.sum())
    if walked.any() and not foreign:
        return Check(
            "frozen", Outcome.HOLDS, f"generation {block.generation[0]} drove both levels and the chain, with one time step"
        )
    if foreign:
        return Check("frozen", Outcome.FAILS, f"{foreign} production rows were not decided by first principles")
    driver = f"generation {block.generation[0]}" if block.generation[0] >= 0 else "first principles"
    decided = (
        ""
        if sound_chain.untested(block.log_ratio, block.accepted)
        else f"; {_judge(block)} decided every step, so any surrogate is exact"
    )
    said = f"{driver} drove all of it with one time step{decided}"
    return Check("frozen", Outcome.HOLDS, said)


def _judge(block: Ledger) -> str:
    alpha = float(block.alpha[-1])
    return "first principles" if alpha == 1 else f"a mixture with alpha {alpha:.3g}"


def _creutz(block: Ledger, alarm: float) -> Check:
    if sound_chain.untested(block.log_ratio, block.accepted):
        said = f"finite time step: dynamics of {block.timestep_fs[-1]:g} fs without a Metropolis test; compare with half the step"
        return Check("exp(-beta dH)", Outcome.WEAK, said)
    mean = thermo.exp_minus_beta_dH(block)
    if not mean.samples:
        return Check("exp(-beta dH)", Outcome.FAILS, "no proposal of the block has an energy")
    told = f"<exp(-beta dH)> is {mean.mean:.3f} ± {mean.stderr:.3f}"
    if sound_chain.creutz_holds(by_walker(block, block.log_ratio), by_walker(block, block.accepted), alarm):
        return Check("exp(-beta dH)", Outcome.HOLDS, told)
    return Check("exp(-beta dH)", Outcome.FAILS, f"{told}, more than {alarm:.2g} standard errors from 1")


def _rejections(block: Ledger, _: float) -> Check:
    share = float(block.accepted.mean())
    longest, bound = thermo.rejections(block)
    if longest <= bound:
        return Check("rejections", Outcome.HOLDS, f"at most {longest} rejections in a row (bound {bound})")
    said = f"{longest} rejections in a row, more than {bound} at acceptance {share:.2f}: the chain stuck"
    return Check("rejections", Outcome.FAILS, said)


def _estimators(block: Ledger, alarm: float) -> Check:
    difference = thermo.averages(block).get("energy_difference_eV")
    if difference is None:
        return Check("estimators", Outcome.SKIPPED, "the ledger does not have both energy estimators")
    told = f"primitive and virial energies differ by {1e3 * difference.mean:.1f} ± {1e3 * difference.stderr:.1f} meV"
    if abs(difference.mean) <= 1e-9 + alarm * difference.stderr:
        return Check("estimators", Outcome.HOLDS, told)
    return Check("estimators", Outcome.FAILS, f"{told}, more than {alarm:.2g} standard errors")


def _failures(block: Ledger, _: float) -> Check:
    share = thermo.engine_failure_share(block)
    trapped = int((block.outcome == "rejected: surrogate").sum())
    if share <= ENGINE_FAILURES_ALLOWED:
        told = (
            f"refusals of the engine or its guards decided {100 * share:.2f} % of the rows; {trapped} met absurd surrogate forces"
        )
        return Check("engine", Outcome.HOLDS, told)
    said = f"the engine failed in {100 * share:.2f} % of the production rows (at most {100 * ENGINE_FAILURES_ALLOWED:.1f} %)"
    return Check("engine", Outcome.FAILS, said)


def _adaptation(rows: Sequence[Row], block: Ledger) -> Check:
    freeze = freeze_row(rows)
    if freeze is None:
        return Check("adapt", Outcome.SKIPPED, "the journal has no freeze")
    reason = freeze.get("reason", "no reason given")
    if converged(freeze):
        return Check("adapt", Outcome.HOLDS, f"frozen at step {freeze.get('step')}: {reason}")
    said = f"production began without convergence of the adapt phase: {reason}"
    networks_met = (freeze.get("criteria") or {}).get("met", {}).get("generations", True)
    if not networks_met and (block.generation < 0).all():
        said += (
            "; no network had come, so first principles drove all of it (coupling.first_principles_steps lets it wait for one)"
        )
    return Check("adapt", Outcome.WEAK, said)


def _earlier_blocks(full: Mapping[int, Ledger]) -> Check:
    """Blocks before the last one whose energy disagrees with it."""
    *earlier, last = sorted(full)
    quoted = thermo.averages(full[last]).get("energy_virial_eV")
    reasons = []
    for number in earlier:
        other = thermo.averages(full[number]).get("energy_virial_eV")
        if quoted is None or other is None:
            continue
        gap, error = abs(other.mean - quoted.mean), math.hypot(other.stderr, quoted.stderr)
        if gap > statistics.ALARM * error:
            reasons.append(
                f"block {number} disagrees with block {last}: energies differ by {1e3 * gap:.1f} ± {1e3 * error:.1f} meV"
            )
    if reasons:
        return Check("blocks", Outcome.WEAK, "; ".join(reasons))
    return Check("blocks", Outcome.HOLDS, f"{len(earlier)} earlier blocks agree" if earlier else "the only block")


def _start(block: Ledger, rows: Sequence[Row]) -> Check:
    """Whether the block's numbers drift away from its start, and how long the chain had settled before it."""
    found = burn_in.remembered({name: by_walker(block, values) for name, values in block.observables.items()})
    if found:
        return Check("start", Outcome.WEAK, f"{found.told}: `renkei analyze --skip {found.steps}` leaves them out")
    first = int(block.step.min())
    stirred = [row["step"] for row in rows if row["event"] == "step" and row["step"] < first and _stirs(row)]
    settled = first - 1 - max(stirred, default=0)
    return Check(
        "start", Outcome.HOLDS, f"no series drifts away from its start; the chain had settled for {settled} steps before"
    )


def _stirs(row: Row) -> bool:
    """Whether a step is one of exploring or of a surrogate's walk, after which a chain has to settle."""
    return row.get("move", "metropolis") != "metropolis"


def _samples(block: Ledger) -> Check:
    energy = thermo.averages(block).get("energy_virial_eV")
    if energy is None:
        return Check("samples", Outcome.SKIPPED, "the ledger has no virial energy")
    effective = energy.effective
    if effective >= statistics.FEWEST_SAMPLES:
        return Check("samples", Outcome.HOLDS, f"{effective:.0f} effective samples of the energy")
    said = f"only {effective:.0f} effective samples of the energy: the error bars themselves are uncertain"
    return Check("samples", Outcome.WEAK, said)


def _weights(block: Ledger) -> Check:
    logs = block.observables.get(thermo.LOG_WEIGHT)
    if logs is None:
        return Check("weights", Outcome.HOLDS, "the chain samples the target itself: no weights")
    if not np.isfinite(logs).all():
        return Check("weights", Outcome.FAILS, "some samples have no weight")
    if np.ptp(logs) == 0:
        return Check("weights", Outcome.HOLDS, "all weights are equal: the chain samples the target itself")
    health = reweighting.weight_health(logs)
    told = f"averages are reweighted from alpha {block.alpha[-1]:.3g}: {health.told}"
    if health.refusal:
        return Check("weights", Outcome.FAILS, f"{told}; {health.refusal}")
    if health.largest > LARGEST_WEIGHT:
        return Check("weights", Outcome.WEAK, f"{told}: one sample weighs too much (at most {LARGEST_WEIGHT:g})")
    return Check("weights", Outcome.REWEIGHT, told)


def _approximation(block: Ledger) -> Check:
    """What stood in for the target."""
    stand_in = next((str(name) for name in block.approximation if name), "")
    if not stand_in:
        return Check("target", Outcome.HOLDS, "the target itself was labelled at every tested state")
    return Check("target", Outcome.WEAK, f"{stand_in} stood for the target: all averages are those of this approximation")


def _gaussian(block: Ledger) -> Check:
    """<beta dH> = Var/2 for a Gaussian: a surrogate's errors need not be one, so nothing hangs on it."""
    found = thermo.variance_identity(block)
    return Check("beta dH", Outcome.TOLD, f"<beta dH> - Var/2 is {found.mean:.3f} ± {found.stderr:.3f} (0 if Gaussian)")


def _acceptance(block: Ledger) -> Check:
    share, errors = statistics.estimate(by_walker(block, block.accepted)), thermo.energy_errors(block)
    told = f"acceptance {share.mean:.3f} ± {share.stderr:.3f}, erfc(sqrt(<beta dH>)/2) {errors.predicted_acceptance:.3f}"
    return Check("acceptance", Outcome.TOLD, told)
