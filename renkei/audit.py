"""The account of a simulator: its verdict with all checks, and who made which samples. The report shows the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from protocol.store import Store
from renkei import frozen_model
from renkei.analysis import two_level, verdict
from renkei.analysis.ledger import WALKS, Ledger, decided, in_phase, production_blocks, select
from renkei.analysis.verdict import Check, Outcome, Verdict
from renkei.flip import flip_test
from renkei.run_view import RunView, SimulatorView


def examine(store: Store, simulator: SimulatorView) -> Verdict:
    """The verdict on the last full block of one simulator, the flip test among its checks."""
    blocks = production_blocks(simulator.ledger)
    full = verdict.full_blocks(blocks, simulator.rows)
    more: list[Check] = []
    if blocks:
        block = blocks[verdict.quoted_number(blocks, full)]
        chain = decided(block)
        walked = two_level.walked(block)
        if walked and len(chain):  # the state before the chain's first step is the walk's
            chain = select(chain, chain.step > chain.step.min())
        more.append(flip_test(store, simulator, chain))
        more += _two_levels(store, simulator, block) if walked else []
    return verdict.judge(blocks, simulator.rows, more)


def _two_levels(store: Store, simulator: SimulatorView, block: Ledger) -> list[Check]:
    """The gate of a two-level block, or why there is no run to judge."""
    gave_up = [row for row in simulator.events("gave_up") if row["block"] == block.block[0]]
    if gave_up:
        return [Check("probes", Outcome.FAILS, f"the surrogate's run was not begun: {gave_up[-1]['reason']}")]
    if not two_level.applies(block):
        return [Check("rings", Outcome.FAILS, "the surrogate's run has not begun")]
    checks = two_level.gate(block)
    return checks if len(checks) == 1 else [*checks, *frozen_model.checks(store, simulator, block)]


def account(view: RunView, simulator: SimulatorView) -> dict[str, Any]:
    """Verdict, reasons and checks, and the samples by phase: plain data."""
    judged = examine(Store(view.root), simulator)
    checks = [{"name": check.name, "outcome": str(check.outcome), "said": check.said} for check in judged.checks]
    found = {"verdict": judged.verdict, "reasons": list(judged.reasons), "checks": checks}
    return {**found, "samples": [_samples(simulator.ledger, phase) for phase in ("adapt", "production")]}


def worst(by_name: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The worst verdict of several accounts; then a reason names its simulator."""
    if not by_name:
        return {"verdict": verdict.DO_NOT_QUOTE, "reasons": ["no simulator has started"]}
    name = max((found["verdict"] for found in by_name.values()), key=verdict.SEVERITY.index)
    reasons = [r if len(by_name) == 1 else f"{key}: {r}" for key, found in by_name.items() for r in found["reasons"]]
    return {"verdict": name, "reasons": reasons}


def _samples(ledger: Ledger, phase: str) -> dict[str, Any]:
    """How many rows of a phase who decided, what became of them, and which generations drove them."""
    rows = in_phase(ledger, phase)
    explored, walked = int((rows.move == "explore").sum()), int(np.isin(rows.move, WALKS).sum())
    generations = {}
    for generation in np.unique(rows.generation):
        driven = select(rows, rows.generation == generation)
        generations[int(generation)] = {"rows": len(driven), "accepted": int(driven.accepted.sum())}
    return {
        "phase": phase,
        "rows": len(rows),
        "explored": explored,
        "walked": walked,
        "outcomes": dict(Counter(rows.outcome.tolist())),
        "generations": generations,
    }
