"""The chain in hand: state, step number, phase and production block; what a checkpoint holds and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.records import Phase
from protocol.sections import TwoLevel
from sim_daemon import schedule
from sim_daemon.block import Block
from sim_daemon.moves.novelty import Seen
from sim_daemon.samplers.base import Plan, State


@dataclass
class Chain:
    """Everything that changes from step to step."""

    state: State
    step: int = 0  # last completed
    phase: Phase = Phase.ADAPT
    frozen: Plan | None = None  # of production
    block: Block | None = None
    blocks_done: int = 0
    finished: bool = False

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        block = self.block
        return {
            "positions": self.state.positions,
            "energies": self.state.energies,
            "forces": self.state.forces,
            "cells": self.state.cells,
            "refuges": list(self.state.refuges),
            "refuge_cells": list(self.state.refuge_cells),
            "stresses": self.state.stresses,
            "momenta": self.state.momenta,
            "cheap_energies": self.state.cheap_energies,
            "aside": self.state.aside,
            "replicas": self.state.replicas,
            "rounds": self.state.rounds,
            "contracted_with": self.state.contracted_with,
            "seen": None if self.state.seen is None else self.state.seen._asdict(),
            "step": self.step,
            "phase": str(self.phase),
            "blocks_done": self.blocks_done,
            "finished": self.finished,
            "frozen": None if self.frozen is None else schedule.entry(self.step + 1, self.frozen),
            "block": None if block is None else block.dump(),
        }


def restore(state: Mapping[str, Any], rules: TwoLevel | None = None) -> Chain:
    """The inverse of Chain.dump; rules: of two-level blocks."""
    frozen, block, seen = state["frozen"], state["block"], state["seen"]
    if block is not None:
        block = Block.restore(block, rules)
    of_target = ("positions", "energies", "forces", "cells", "stresses", "momenta", "cheap_energies", "contracted_with")
    kept: dict[str, Any] = {name: state[name] for name in (*of_target, "aside", "replicas", "rounds")}
    refuges, refuge_cells = tuple(state["refuges"]), tuple(state["refuge_cells"])
    return Chain(
        State(**kept, refuges=refuges, refuge_cells=refuge_cells, seen=None if seen is None else Seen(**seen)),
        state["step"],
        Phase(state["phase"]),
        None if frozen is None else schedule.plan_of(frozen),
        block,
        state["blocks_done"],
        state["finished"],
    )
