"""The schedule: the ledger's own list step -> (generation digest, phase, timestep, length), recorded or imposed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from protocol.errors import BadSetting
from protocol.records import Phase
from sim_daemon.samplers.base import Move, Plan


def entry(first_step: int, plan: Plan) -> dict[str, Any]:
    """The ledger's row for a plan that holds from `first_step` on; durable before that step starts."""
    return {"event": "segment", "first_step": first_step, **vars(plan), "phase": str(plan.phase), "move": str(plan.move)}


class Recorded:
    """A recorded schedule, imposed on the steps that it covers."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], before: Mapping[str, Any] | None = None) -> None:
        """rows: of a ledger, or of its end.  before: the `entry` that was in force where they begin, if one was."""
        entries = [*([] if before is None else [before]), *(r for r in rows if r["event"] == "segment")]
        self._entries = sorted(entries, key=lambda r: r["first_step"])
        self.last_step: int = max((r["step"] for r in rows if r["event"] == "step"), default=0)
        self.freezes = {r["step"]: r for r in rows if r["event"] == "freeze"}  # by the first step of the block
        self.allocations = {r["block"]: r for r in rows if r["event"] == "allocation"}  # of two-level blocks

    def plan(self, step: int) -> Plan | None:
        """The plan of a step that the record holds, else None."""
        if step > self.last_step:
            return None
        before = [r for r in self._entries if r["first_step"] <= step]
        if not before:
            return None
        return plan_of(before[-1])


def imposed(recorded: Sequence[Recorded], step: int) -> Plan | None:
    """The plan that recorded schedules impose on a step, the first one that holds it; None: the step is free."""
    return next((plan for record in recorded if (plan := record.plan(step)) is not None), None)


def plan_of(row: Mapping[str, Any]) -> Plan:
    """The plan of a ledger's row."""
    names = [field.name for field in fields(Plan) if field.name in row]
    return Plan(**{name: row[name] for name in names} | {"phase": Phase(row["phase"]), "move": Move(row["move"])})


def replayed(rows: Sequence[Mapping[str, Any]], where: str) -> Recorded:
    """The schedule of another run. Raises BadSetting where it has no step."""
    record = Recorded(rows)
    if record.last_step == 0:
        raise BadSetting("the run to replay has no step in its ledger", where, "name a run folder that has sampled")
    return record
