"""The length of trajectories by the expected squared jump that a second buys, from the adapt phase's own trials.

Lengths of a step are log-uniform in [L/8, L], three octaves, so what trials say of each octave below the longest length holds
for every L that draws from it: J(L) is the mean of min(1, ratio) |jump|^2 over its three octaves, divided by their mean cost
(docs/methods.md). Nothing here runs in production.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sim_daemon.samplers.base import Info

OCTAVES = 3  # that one L draws from
HALVINGS = 4  # the shortest L is the longest one over 16
FEWEST = 3  # trials of an octave, below which it is not known
STEEPEST = 4.0  # of an octave's jump to that of the next shorter one: ballistic motion


class Told(NamedTuple):
    """What is expected of one L."""

    trajectory_fs: float
    squared_jump_A2: float  # of a step, rejected ones being none
    acceptance: float
    cost: float  # s of a step, or engine calls where no time is known
    known: bool  # every octave was tried; else one of them is extrapolated from its neighbours

    @property
    def worth(self) -> float:
        """Expected squared jump for the cost."""
        return self.squared_jump_A2 / self.cost if self.cost > 0 else 0.0


class _Octave(NamedTuple):
    """Means over the trials of an octave."""

    jump: float
    acceptance: float
    cost: float


@dataclass
class Lengths:
    """Trials with one surrogate, whatever L they were drawn from; part of the checkpoint."""

    longest_fs: float
    trials: list[tuple[float, float, float, int, int]] = field(default_factory=list)  # fs, A^2, probability, time steps, calls
    rest_s: list[float] = field(default_factory=list)  # of a walker's step, beside the surrogate
    time_step_s: list[float] = field(default_factory=list)  # of the surrogate, one time step of a walker

    @property
    def shortest_fs(self) -> float:
        """The least L that is chosen."""
        return self.longest_fs / 2**HALVINGS

    def forget(self) -> None:
        """Another surrogate, or another test: what was tried says nothing of it."""
        self.trials, self.rest_s, self.time_step_s = [], [], []

    def observe(self, infos: Sequence[Info], seconds: Mapping[str, float]) -> None:
        """Take one step of all walkers; seconds: by activity, {} where they are not known.

        A sampler that tells no jumps is taken to move ballistically.
        """
        for info in infos:
            finite = math.isfinite(info.log_ratio)
            probability = math.exp(min(0.0, info.log_ratio)) if finite else 0.0
            squared = info.length_fs**2 if info.squared_jump_A2 is None else info.squared_jump_A2
            jump = probability * squared if math.isfinite(squared) else 0.0
            self.trials.append((info.length_fs, jump, probability, info.md_steps, info.engine_calls))
        steps = sum(info.md_steps for info in infos)
        if seconds and steps:
            surrogate = seconds.get("surrogate", 0.0) + seconds.get("surrogate_imbalance", 0.0)  # beads of other ranks too
            idle = seconds.get("waiting", 0.0)
            self.rest_s.append((sum(seconds.values()) - surrogate - idle) / len(infos))
            self.time_step_s.append(surrogate / steps)

    def told(self) -> tuple[Told, ...]:
        """Every L of which something is known or can be extrapolated by one octave, the longest first."""
        octaves = self._octaves()
        return tuple(one for k in range(HALVINGS + 1) if (one := self._of(k, octaves)) is not None)

    def best(self, trajectory_fs: float, gain: float, least_acceptance: float = 0.0) -> float:
        """The L of the greatest worth if it is `gain` times that of the present one, which else stays.

        least_acceptance: of an L that may be chosen.
        """
        told = {one.trajectory_fs: one for one in self.told() if one.acceptance >= least_acceptance}
        if not told:
            return trajectory_fs
        best = max(told.values(), key=lambda one: one.worth)
        here = told.get(trajectory_fs)
        return best.trajectory_fs if here is None or best.worth > gain * here.worth else trajectory_fs

    def rows(self) -> list[dict[str, Any]]:
        """The table of `told` for the ledger."""
        return [{**one._asdict(), "worth": one.worth} for one in self.told()]

    def _octaves(self) -> dict[int, _Octave]:
        """Octave -> its means; octave j holds lengths in (longest / 2^(j+1), longest / 2^j]."""
        if not self.trials:
            return {}
        length, jump, probability, steps, calls = np.array(self.trials).T
        place = np.maximum(0, np.floor(np.log2(self.longest_fs / length) + 1e-9)).astype(int)
        fixed = float(np.median(self.rest_s)) if self.rest_s else math.nan
        costs = fixed + steps * float(np.median(self.time_step_s)) if self.rest_s else calls
        chosen = {int(j): place == j for j in np.unique(place) if (place == j).sum() >= FEWEST}
        return {j: _Octave(*(float(x[mask].mean()) for x in (jump, probability, costs))) for j, mask in chosen.items()}

    def _of(self, k: int, octaves: Mapping[int, _Octave]) -> Told | None:
        """L = longest / 2^k; None where more than its first or last octave is missing."""
        wanted = range(k, k + OCTAVES)
        found = {j: octaves[j] for j in wanted if j in octaves}
        missing = [j for j in wanted if j not in found]
        if len(missing) > 1 or missing == [k + 1]:
            return None
        if missing:
            ahead = 1 if missing[0] == k else -1  # towards the octaves that are known
            near, far = found[missing[0] + ahead], found[missing[0] + 2 * ahead]
            found[missing[0]] = _beyond(near, far, longer=ahead > 0)
        jump, acceptance, cost = (float(np.mean([getattr(one, name) for one in found.values()])) for name in _Octave._fields)
        return Told(self.longest_fs / 2**k, jump, acceptance, cost, not missing)


def _beyond(near: _Octave, far: _Octave, longer: bool) -> _Octave:
    """An octave next to `near`, on the other side of `far`: jumps go on as they do from far to near, which is hopeful.

    On a logarithmic scale they bend down: ballistic at first, then of bounded motion, and rejected in the end.
    """
    ratio = near.jump / far.jump if far.jump > 0 else STEEPEST
    jump = near.jump * min(max(ratio, 1 / STEEPEST), STEEPEST)
    acceptance = min(1.0, near.acceptance**2 / far.acceptance) if far.acceptance > 0 else near.acceptance
    cost = 3 * near.cost - 2 * far.cost if longer else 1.5 * near.cost - 0.5 * far.cost  # a constant, and twice or half the steps
    return _Octave(jump, acceptance, max(cost, 0.5 * near.cost))
