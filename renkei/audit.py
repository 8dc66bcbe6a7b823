"""The account of a simulator: its verdict with all checks, and who made which samples. The report shows the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from protocol.store import Store
from renkei.analysis import verdict
from renkei.analysis.ledger import Ledger, in_phase, production_blocks, select
from renkei.analysis.verdict import Verdict
from renkei.flip import flip_test
from renkei.run_view import RunView, SimulatorView


def examine(store: Store, simulator: SimulatorView) -> Verdict:
    """The verdict on the last full block of one simulator, the flip test among its checks."""
    blocks = production_blocks(simulator.ledger)
    full = verdict.full_blocks(blocks, simulator.rows)
    flip = [flip_test(store, simulator, blocks[max(full or blocks)])] if blocks else []
    return verdict.judge(blocks, simulator.rows, flip)


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
    explored = int((rows.move == "explore").sum())
    generations = {}
    for generation in np.unique(rows.generation):
        driven = select(rows, rows.generation == generation)
        generations[int(generation)] = {"rows": len(driven), "accepted": int(driven.accepted.sum())}
    return {
        "phase": phase,
        "rows": len(rows),
        "explored": explored,
        "outcomes": dict(Counter(rows.outcome.tolist())),
        "generations": generations,
    }
