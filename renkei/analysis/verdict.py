"""The verdict on a production block: exact, approximate, or not to be quoted, with the reasons in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels import statistics
from renkei.analysis import thermo
from renkei.analysis.ledger import Ledger, Row

ALARM = 3.0  # standard errors
CREUTZ_TOLERANCE = 1e-6  # rounding of an exact integrator
ENGINE_FAILURES_ALLOWED = 1e-3  # of the production rows
FEWEST_SAMPLES = 20  # effective ones, below which an error bar says little

EXACT, APPROXIMATE, DO_NOT_QUOTE = "exact", "approximate", "do not quote"


@dataclass(frozen=True)
class Verdict:
    """What may be said of the numbers, and why not more."""

    verdict: str
    reasons: tuple[str, ...]


def judge(blocks: Mapping[int, Ledger], rows: Sequence[Row]) -> Verdict:
    """The verdict on the last full block.

    blocks: the production rows by block number.  rows: the journal of the same simulator.
    """
    full = full_blocks(blocks, rows)
    if not blocks:
        return Verdict(DO_NOT_QUOTE, ("production has not begun",))
    block = blocks[max(full or blocks)]
    fatal = [*_creutz(block), *_rejections(block), *_estimators(block), *_failures(block)]
    if not full:
        return Verdict(DO_NOT_QUOTE, (f"no production block is complete ({len(np.unique(block.step))} steps so far)", *fatal))
    weak = [*_adaptation(rows), *_earlier_blocks(full), *_samples(block)]
    verdict = DO_NOT_QUOTE if fatal else APPROXIMATE if weak else EXACT
    return Verdict(verdict, (*fatal, *weak))


def full_blocks(blocks: Mapping[int, Ledger], rows: Sequence[Row]) -> dict[int, Ledger]:
    """The blocks whose end stands in the journal."""
    ended = {row["block"] for row in rows if row["event"] == "block_end"}
    return {number: block for number, block in blocks.items() if number in ended}


def freeze_row(rows: Sequence[Row]) -> Row | None:
    """The row of the freeze that opened the last block, if there is one."""
    return next((row for row in reversed(rows) if row["event"] == "freeze"), None)


def converged(freeze: Row) -> bool:
    """Whether a freeze was made because every criterion was met."""
    criteria: Mapping[str, Any] = freeze.get("criteria") or {}
    met = criteria.get("met")
    return all(met.values()) if met else str(freeze.get("reason", "")) == "converged"


def _creutz(block: Ledger) -> list[str]:
    mean = thermo.exp_minus_beta_dH(block)
    if not mean.samples:
        return ["no proposal of the block has an energy"]
    if abs(mean.mean - 1) <= CREUTZ_TOLERANCE + ALARM * (mean.stderr if math.isfinite(mean.stderr) else 0.0):
        return []
    return [f"<exp(-beta dH)> is {mean.mean:.3f} ± {mean.stderr:.3f}, more than {ALARM:.0f} standard errors from 1"]


def _rejections(block: Ledger) -> list[str]:
    share = float(block.accepted.mean())
    longest = thermo.longest_rejection_run(block)
    bound = statistics.longest_rejection_run(share, len(block), longest)
    if longest <= bound:
        return []
    return [f"{longest} rejections in a row, more than {bound} at acceptance {share:.2f}: the chain stuck"]


def _estimators(block: Ledger) -> list[str]:
    difference = thermo.averages(block).get("energy_difference_eV")
    if difference is None or abs(difference.mean) <= 1e-9 + ALARM * difference.stderr:
        return []
    return [
        f"primitive and virial energies differ by {1e3 * difference.mean:.1f} ± {1e3 * difference.stderr:.1f} meV, "
        f"more than {ALARM:.0f} standard errors"
    ]


def _failures(block: Ledger) -> list[str]:
    share = thermo.engine_failure_share(block)
    if share <= ENGINE_FAILURES_ALLOWED:
        return []
    return [f"the engine failed in {100 * share:.2f} % of the production rows (at most {100 * ENGINE_FAILURES_ALLOWED:.1f} %)"]


def _adaptation(rows: Sequence[Row]) -> list[str]:
    freeze = freeze_row(rows)
    if freeze is None or converged(freeze):
        return []
    return [f"production began without convergence of the adapt phase: {freeze.get('reason', 'no reason given')}"]


def _earlier_blocks(full: Mapping[int, Ledger]) -> list[str]:
    """Blocks before the last one whose energy disagrees with it."""
    *earlier, last = sorted(full)
    quoted = thermo.averages(full[last]).get("energy_virial_eV")
    reasons = []
    for number in earlier:
        other = thermo.averages(full[number]).get("energy_virial_eV")
        if quoted is None or other is None:
            continue
        gap, error = abs(other.mean - quoted.mean), math.hypot(other.stderr, quoted.stderr)
        if gap > ALARM * error:
            reasons.append(
                f"block {number} disagrees with block {last}: energies differ by {1e3 * gap:.1f} ± {1e3 * error:.1f} meV"
            )
    return reasons


def _samples(block: Ledger) -> list[str]:
    energy = thermo.averages(block).get("energy_virial_eV")
    if energy is None:
        return []
    effective = min(energy.ess, energy.samples)  # a short antithetic series claims more than it has
    if effective >= FEWEST_SAMPLES:
        return []
    return [f"only {effective:.0f} effective samples of the energy: the error bars themselves are uncertain"]
