"""The chain in hand: state, step number, phase and production block; what a checkpoint holds and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.statistics import longest_rejection_run, longest_run, mean_exponential, untested
from protocol.records import Phase
from sim_daemon import schedule
from sim_daemon.moves.novelty import Seen
from sim_daemon.samplers.base import Info, Plan, State

BLOCK_ALARM = 3.0  # standard errors of <exp(-beta dH)> from 1 beyond which a block is not trusted
SMALL = 0.1  # the mean of a skewed number: its error is too small in a short block; a stuck one shows 0.5 to 0.7


@dataclass
class Block:
    """One production block: its length is fixed beforehand, and it is completed even if the chain sticks in it."""

    number: int
    length: int
    steps: int = 0
    log_ratios: list[list[float]] = field(default_factory=list)  # by step, by walker
    accepted: list[list[bool]] = field(default_factory=list)

    def observe(self, infos: Sequence[Info]) -> None:
        """Take one step of all walkers."""
        self.steps += 1
        self.log_ratios.append([info.log_ratio for info in infos])
        self.accepted.append([info.accepted for info in infos])

    def summary(self) -> dict[str, Any]:
        """Numbers of the block for the ledger."""
        ratios = np.array(self.log_ratios)
        factors = mean_exponential(ratios)
        taken = np.array(self.accepted)
        return {
            "steps": self.steps,
            "acceptance": float(taken.mean()),
            "exp_minus_beta_dH": factors.mean,
            "exp_minus_beta_dH_stderr": factors.stderr,
            "longest_rejection_run": longest_run(~taken),
        }

    def sticky(self) -> str:
        """Why the block must not be quoted, or "" (docs/methods.md, sticky states)."""
        if untested(np.array(self.log_ratios), np.array(self.accepted)):
            return ""
        told = self.summary()
        mean, error = told["exp_minus_beta_dH"], told["exp_minus_beta_dH_stderr"]
        if not abs(mean - 1) <= max(BLOCK_ALARM * error, SMALL):
            return f"<exp(-beta dH)> is {mean:.2f} +- {error:.2f}, not 1"
        bound = longest_rejection_run(told["acceptance"], self.steps, told["longest_rejection_run"])
        if told["longest_rejection_run"] > bound:
            return (
                f"{told['longest_rejection_run']} rejections in a row, more than {bound} at acceptance {told['acceptance']:.2f}"
            )
        return ""


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
            "seen": None if self.state.seen is None else self.state.seen._asdict(),
            "step": self.step,
            "phase": str(self.phase),
            "blocks_done": self.blocks_done,
            "finished": self.finished,
            "frozen": None if self.frozen is None else schedule.entry(self.step + 1, self.frozen),
            "block": None
            if block is None
            else {
                "number": block.number,
                "length": block.length,
                "steps": block.steps,
                "log_ratios": np.array(block.log_ratios),
                "accepted": np.array(block.accepted),
            },
        }


def restore(state: Mapping[str, Any]) -> Chain:
    """The inverse of Chain.dump."""
    frozen, block, seen = state["frozen"], state["block"], state["seen"]
    if block is not None:
        block = Block(block["number"], block["length"], block["steps"], block["log_ratios"].tolist(), block["accepted"].tolist())
    return Chain(
        State(
            state["positions"],
            state["energies"],
            state["forces"],
            state["cells"],
            tuple(state["refuges"]),
            tuple(state["refuge_cells"]),
            state["stresses"],
            state["momenta"],
            seen=None if seen is None else Seen(**seen),
        ),
        state["step"],
        Phase(state["phase"]),
        None if frozen is None else schedule.plan_of(frozen),
        block,
        state["blocks_done"],
        state["finished"],
    )
