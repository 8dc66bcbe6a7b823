"""One production block: what it has seen, whether it is to be trusted, and whether it is enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.reweighting import reweighted
from kernels.sound_chain import creutz_holds, longest_run, rejections, untested
from kernels.statistics import ALARM, Estimate, estimate, mean_exponential, shared_alarm
from protocol.errors import BadSetting
from protocol.sections import Goal, TwoLevel
from sim_daemon.samplers.base import LOG_WEIGHT, WALKS, Info, Move, Plan
from sim_daemon.two_level import Walk, restore_walk


@dataclass
class Block:
    """One production block: its length is fixed beforehand, and it is completed even if the chain sticks in it.

    With a goal that length is a first one, doubled while what has been sampled is not enough.
    """

    number: int
    length: int
    steps: int = 0
    log_ratios: list[list[float]] = field(default_factory=list)  # by step, by walker
    accepted: list[list[bool]] = field(default_factory=list)
    watched: dict[str, list[list[float]]] = field(default_factory=dict)  # the goal's observables, by step, by walker
    walk: Walk | None = None  # of a two-level block
    rungs: int = 1  # of a ladder of temperatures: walker w stands at rung w mod rungs, the lowest is quoted

    def plan(self, frozen: Plan) -> Plan:
        """The plan of the next step."""
        return frozen if self.walk is None else self.walk.plan(frozen, self.steps, self.length)

    def ended(self) -> bool:
        """Whether all of its steps are done, or the model is too poor for two levels."""
        return self.gave_up() or (self.steps >= self.length and (self.walk is None or self.walk.ended()))

    def gave_up(self) -> bool:
        """Whether the probes of two levels said that the model is bad."""
        return self.walk is not None and self.walk.probed() and bool(self.walk.bad())

    def progress(self) -> dict[str, Any]:
        """What a heartbeat says of it beside its steps."""
        return {} if self.walk is None else self.walk.progress()

    def observe(self, plan: Plan, infos: Sequence[Info], seconds: Mapping[str, float], watch: Sequence[str] = ()) -> None:
        """Take one step of all walkers, and these observables of it; seconds: by activity."""
        if plan.move in WALKS and self.walk is not None:
            self.walk.observe(plan, infos, seconds)
            return
        self.steps, self.rungs = self.steps + 1, len({info.temperature_K for info in infos})
        for name in watch:
            self.watched.setdefault(name, []).append([info.observables[name] for info in infos[:: self.rungs]])
        self.log_ratios.append([info.log_ratio for info in infos])
        self.accepted.append([info.accepted for info in infos])

    def summary(self) -> dict[str, Any]:
        """Numbers of the block for the ledger, all rungs together."""
        if self.gave_up():
            return {"reason": self.refusal()}
        return {"steps": self.steps, **_numbers(np.array(self.log_ratios), np.array(self.accepted))}

    def shortfall(self, goal: Goal) -> dict[str, str]:
        """What the block lacks of a goal: observable -> what it has and should have; {} when the goal is met."""
        lacking = {}
        for name in goal.watched:
            found = self._estimate(name)
            if not found.effective >= goal.least_samples(name):
                lacking[name] = f"{found.ess:.0f} of {goal.least_samples(name):.0f} effective samples"
            elif not found.stderr <= goal.error.get(name, np.inf):
                lacking[name] = f"an error of {found.stderr:.3g}, {goal.error[name]:g} wanted"
        return lacking

    def _estimate(self, name: str) -> Estimate:
        """The mean of an observable, reweighted where the samples have weights."""
        series = np.array(self.watched[name])
        return reweighted(series, np.array(self.watched[LOG_WEIGHT])) if LOG_WEIGHT in self.watched else estimate(series)

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        arrays = {"log_ratios": np.array(self.log_ratios), "accepted": np.array(self.accepted)}
        watched = {name: np.array(series) for name, series in self.watched.items()}
        walk = None if self.walk is None else self.walk.dump()
        return {"number": self.number, "length": self.length, "steps": self.steps, **arrays, "watched": watched, "walk": walk}

    @classmethod
    def restore(cls, state: Mapping[str, Any], rules: TwoLevel | None) -> Block:
        """The inverse of dump; rules: of two-level blocks."""
        watched = {name: series.tolist() for name, series in state["watched"].items()}
        lists = state["log_ratios"].tolist(), state["accepted"].tolist()
        walk = None if state["walk"] is None else restore_walk(state["walk"], rules or TwoLevel())
        return cls(state["number"], state["length"], state["steps"], *lists, watched, walk)

    def refusal(self) -> str:
        """Why the block must not be quoted, or "" (docs/methods.md, the verdict); every rung is judged by itself."""
        if self.walk is not None and not self.walk.ended():
            return self.walk.bad()
        ratios, taken = np.array(self.log_ratios), np.array(self.accepted)
        alarm = shared_alarm(ALARM, self.rungs)
        for rung in range(self.rungs):
            why = _refusal(ratios[:, rung :: self.rungs], taken[:, rung :: self.rungs], alarm)
            if why:
                return why if self.rungs == 1 else f"rung {rung + 1} of {self.rungs}: {why}"
        return self.walk.bad() if self.walk is not None else ""


def _numbers(ratios: Array, taken: Array) -> dict[str, Any]:
    factors = mean_exponential(ratios)
    return {
        "acceptance": float(taken.mean()),
        "exp_minus_beta_dH": factors.mean,
        "exp_minus_beta_dH_stderr": factors.stderr,
        "longest_rejection_run": longest_run(~taken),
    }


def _refusal(ratios: Array, taken: Array, alarm: float) -> str:
    """The same of some walkers; ratios, taken: (T, W)."""
    if untested(ratios, taken):
        return ""
    told = _numbers(ratios, taken)
    mean, error = told["exp_minus_beta_dH"], told["exp_minus_beta_dH_stderr"]
    if not creutz_holds(ratios, taken, alarm):
        return f"<exp(-beta dH)> is {mean:.2f} +- {error:.2f}, not 1"
    longest, bound = rejections(taken)
    if longest > bound:
        return f"{longest} rejections in a row, more than {bound} at acceptance {told['acceptance']:.2f}"
    return ""


def watched(goal: Goal | None, plan: Plan, infos: Sequence[Info]) -> tuple[str, ...]:
    """The ledger's numbers that the goal of production speaks of. Raises BadSetting, in the first steps, for unknown ones."""
    if goal is None or plan.move is Move.EXPLORE:
        return ()
    has = infos[0].observables
    for name in goal.watched:
        if name not in has:
            what = f"phases.production.until: the ledger has no number {name!r}"
            raise BadSetting(what, next=f"it has {', '.join(sorted(has))}")
    return (*goal.watched, *([LOG_WEIGHT] if LOG_WEIGHT in has else []))
