"""Proposals that the engine refuses one after the other: an engine that refuses all of them is broken, and the run stops."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.errors import EngineFailed
from protocol.records import Phase
from sim_daemon.labelling import ENGINE_FAILURE
from sim_daemon.samplers.base import REFUSED, Info, Plan

MOST_REFUSED = 20  # steps of one walker in a row


class Refusals:
    """Counts, by walker, the steps in a row that the engine refused; in production its guards count too, in adapt they teach."""

    def __init__(self) -> None:
        self._in_a_row: dict[int, int] = {}

    def observe(self, plan: Plan, infos: Sequence[Info]) -> None:
        """Take one step of all walkers. Raises EngineFailed, with the last reason, at MOST_REFUSED steps of one in a row."""
        for walker, info in enumerate(infos):
            reasons = [reason for point in info.points for reason in point.refused if reason]
            own = any(reason.startswith(ENGINE_FAILURE) for reason in reasons)
            counts = info.outcome == REFUSED and (own or plan.phase is Phase.PRODUCTION)
            self._in_a_row[walker] = self._in_a_row.get(walker, 0) + 1 if counts else 0
            if self._in_a_row[walker] >= MOST_REFUSED:
                raise EngineFailed(
                    f"it refused {MOST_REFUSED} proposals of walker {walker} in a row: {reasons[-1]}",
                    "engine",
                    "look at the structures in quarantine, mend what is wrong and start again",
                )
