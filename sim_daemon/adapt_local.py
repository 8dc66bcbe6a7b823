"""The adapt phase of local moves: widths from the surrogate's acceptance, length of the chains from the test's, when to freeze.

What is common with trajectories (exploring, trials of a generation, holes) is in adapt.py. Nothing here runs in production.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim_daemon.adapt import CALM_MOVES, GENERATIONS_WANTED, LENGTH_TRIALS, NO_TIMES, PROBE_TRIALS, TRIAL_STEPS, Adapter, Trials
from sim_daemon.samplers.base import Info, Move, Plan

ACCEPTED, LOWEST, HIGHEST = 0.4, 0.3, 0.5  # of the moves that have a width, by the surrogate
FIRST_TRIES, LATER_TRIES = 100, 400  # moves of a kind that judge its width: before it was right once, and after
LARGEST_CHANGE = 2.0  # of a width or a length, at once
FEWEST_MOVES = 8  # in a chain: any model has an acceptance there
CHAIN_LOWEST, CHAIN_HIGHEST = 0.4, 0.6  # of the test: longer chains are accepted less and move further
EXPLORE_SHARE = 4  # exploring chains have at least the longest length over this
FIRST_PRINCIPLES_MOVES = 10  # of a step without a surrogate
STUCK_AFTER = 20  # rejections in a row: at an acceptance of 0.4 one in 27,000 trials begins such a run


@dataclass
class Width:
    """Width of one kind of move, in its own unit; it does not change where least and most are equal."""

    value: float
    least: float
    most: float
    tried: int = 0
    accepted: int = 0
    right: bool = False  # it was within the bounds once

    def observe(self, tried: int, accepted: int) -> None:
        """Take the moves of one step."""
        self.tried, self.accepted = self.tried + tried, self.accepted + accepted

    def adjust(self) -> bool:
        """Judge the width once enough moves were made; true if it has changed."""
        if self.tried < (LATER_TRIES if self.right else FIRST_TRIES):
            return False
        share, before = self.accepted / self.tried, self.value
        self.tried = self.accepted = 0
        if LOWEST <= share <= HIGHEST:
            self.right = True
            return False
        change = min(max(share / ACCEPTED, 1 / LARGEST_CHANGE), LARGEST_CHANGE)
        self.value = min(max(before * change, self.least), self.most)
        self.right = self.value == before  # at its bound
        return not self.right


class LocalAdapter(Adapter):
    """Decides widths, the chains' length, kind of step and the freeze; its state goes into the checkpoint."""

    def __init__(self, atoms: int, chain_moves: int | None, longest: int, widths: Mapping[str, Width], walkers: int) -> None:
        super().__init__(0.0, 0.0, False, 0.0, 0.0, walkers, True)
        self.fixed_moves = chain_moves
        self.longest = chain_moves or longest
        self.chain_moves = chain_moves or min(max(atoms, FEWEST_MOVES), longest)
        self.widths = {name: Width(**asdict(width)) for name, width in widths.items()}

    def timestep_fs(self) -> float:
        """There is no time; 0."""
        return 0.0

    def trajectory_fs(self, generation: int) -> float:
        """There is no time; 0."""
        return 0.0

    def knobs(self, generation: int, move: Move) -> dict[str, Any]:
        """Length of the chains and widths of the next step."""
        moves = FIRST_PRINCIPLES_MOVES if generation < 0 else self.chain_moves
        if move is Move.EXPLORE:
            moves = max(moves, self.longest // EXPLORE_SHARE)
        return {"chain_moves": moves, "widths": {name: width.value for name, width in self.widths.items()}}

    def wants_rescue(self) -> bool:
        """Never: a chain that is rejected gets shorter, down to single moves."""
        return False

    @property
    def acceptance(self) -> float:
        """Mean probability to accept of the trials in hand."""
        return self._probability()[0]

    def _probability(self) -> tuple[float, float]:
        """Mean and standard error of min(1, ratio) over the trials."""
        ratios = np.array(self.trials.log_ratios or [-np.inf])
        told = np.where(np.isfinite(ratios), np.exp(np.minimum(0.0, np.where(np.isfinite(ratios), ratios, 0.0))), 0.0)
        return float(told.mean()), float(max(told.std(), 0.1) / math.sqrt(len(told)))

    def _promises(self) -> bool:
        return not self.failed and len(self.trials.accepted) >= PROBE_TRIALS and self.acceptance >= CHAIN_LOWEST

    def observe(self, plan: Plan, infos: Sequence[Info], seconds: Mapping[str, float] = NO_TIMES) -> None:
        """Take one step of all walkers."""
        if plan.move is Move.METROPOLIS:
            for info in infos:
                for name, width in self.widths.items():
                    width.observe(info.counts.get(name, 0), info.counts.get(f"{name}_accepted", 0))
        super().observe(plan, infos, seconds)

    def _tried(self, plan: Plan, infos: Sequence[Info]) -> None:
        if (plan.chain_moves, plan.widths) != tuple(self.knobs(plan.generation, plan.move).values()):
            self._follow(plan)
        super()._tried(plan, infos)
        if self.trials.longest_run >= STUCK_AFTER and self.chain_moves > self._least():
            self._shorten()
            self._anew()

    def _follow(self, plan: Plan) -> None:
        """A recorded plan is imposed: what is tried is what it says."""
        self.chain_moves = plan.chain_moves
        for name, value in plan.widths.items():
            self.widths[name].value = value
        self._begin_trials(plan)

    def _fails(self) -> bool:
        if self.chain_moves > self._least():
            return False
        enough = len(self.trials.accepted) >= TRIAL_STEPS // 2
        return self.trials.longest_run >= STUCK_AFTER or (enough and self.acceptance < CHAIN_LOWEST)

    def _least(self) -> int:
        return self.fixed_moves or FEWEST_MOVES

    def adjust(self) -> list[dict[str, Any]]:
        """Between segments: widths that are wrong, and a length whose chains are accepted too often or too seldom; no rows."""
        changed = [width.adjust() for width in self.widths.values()]
        mean, error = self._probability()
        count = len(self.trials.accepted)
        moves = self.chain_moves
        if count >= LENGTH_TRIALS and not self.failed:
            slack = 2 * error if count < 2 * TRIAL_STEPS else 0.0
            if mean > CHAIN_HIGHEST + slack or mean < CHAIN_LOWEST - slack:
                change = min(max(math.exp(4 * (mean - 0.5)), 1 / LARGEST_CHANGE), LARGEST_CHANGE)
                moves = min(max(round(moves * change), self._least()), self.longest)
        if any(changed) or moves != self.chain_moves:
            self.chain_moves = moves
            self._anew()
        return []

    def _anew(self) -> None:
        """Trials of the same generation with other widths or another length."""
        self.trials = Trials(self.trials.generation)
        self.runs = [0] * len(self.runs)

    def criteria(self) -> dict[str, Any]:
        """The freeze criteria with their numbers; all `met` values true means converged."""
        trials = self.trials
        count, acceptance = len(trials.accepted), self.acceptance
        enough = count >= TRIAL_STEPS
        mean, error = trials.creutz if enough else (0.0, 0.0)
        generations = len(self.generations)
        bounded = self.chain_moves >= self.longest
        met = {
            "trials": enough,
            "acceptance": acceptance >= CHAIN_LOWEST and (acceptance <= CHAIN_HIGHEST or bounded),
            "widths": all(width.right or width.least == width.most for width in self.widths.values()),
            "exp_minus_beta_dH": abs(mean - 1) <= max(3 * error, 0.1),
            "rejection_run": trials.longest_run < STUCK_AFTER,
            "holes": self.calm >= CALM_MOVES,
            "generations": generations >= GENERATIONS_WANTED or count >= 2 * TRIAL_STEPS,
        }
        numbers = {"trials": count, "acceptance": acceptance, "longest_rejection_run": trials.longest_run}
        found = {"exp_minus_beta_dH": mean, "generations": generations, "moves_without_hole": self.calm}
        return {"met": met, **numbers, **found, "chain_moves": self.chain_moves}

    def _shorten(self) -> None:
        self.chain_moves = max(self._least(), self.chain_moves // 2)

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        widths = {name: asdict(width) for name, width in self.widths.items()}
        return {**super().dump(), "chain_moves": self.chain_moves, "widths": widths}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of dump."""
        super().restore(state)
        self.chain_moves = state["chain_moves"]
        self.widths = {name: Width(**width) for name, width in state["widths"].items()}
