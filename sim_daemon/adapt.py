"""The adapt phase: time step from the integrator's acceptance, trajectory length from the trials' jumps, and when to freeze.

Two separate signals (docs/methods.md): the integrator's acceptance controls the step by dual averaging, the model's acceptance on
trials controls the length, by the squared jump that it leaves for the cost, and the retraining; neither is fed by the other.
Nothing here runs in production.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from kernels.sound_chain import untested
from kernels.statistics import mean_exponential
from sim_daemon.adapt_length import Lengths
from sim_daemon.moves.explore import HOLE
from sim_daemon.samplers.base import Info, Move, Plan

NO_TIMES: Mapping[str, float] = MappingProxyType({})
STEP_TARGET = {"surrogate": 0.95, "first_principles": 0.75}  # of the integrator's acceptance
CELL_TARGET = 0.7  # of a jump's own acceptance, its work judged by the potential that drives the trajectory
STEP_TUNING = 60  # trials of dual averaging; then the step stays
FIRST_PRINCIPLES_STEPS = 10  # time steps of a move without a surrogate, in adapt
LENGTH_SHARE = 0.5  # of trajectory_max_fs: the first length of every generation; a short one is accepted by any model
LENGTH_TRIALS = 12  # trials with one (generation, length) before it may grow
SHORTEN_TRIALS = 30  # before it may shrink, and only that of a generation that promises well
LENGTH_GAIN = 1.2  # of the expected squared jump for the cost: less is not worth new trials
PROBE_TRIALS, PROBE_ACCEPTANCE = 8, 0.5  # a generation below this explores until its successor comes
EXPLORE_FIRST = 20  # moves of every generation before its trials
EXPLORE_MOVES = 250  # without a successor: then the same generation is tried again
STUCK_AFTER = 8  # rejections in a row: a first-principles move, then exploration (adapt only)
TRIAL_STEPS = (
    100  # a pair (generation, length) is frozen only after so many trials of its own: acceptance varies from place to place
)
TRIAL_ACCEPTANCE = 0.66
HOPELESS = 0.06  # less than TRIAL_ACCEPTANCE after half of the trials
CALM_MOVES = 150  # exploring moves in a row without a hole: fewer than one in 50 finds one (95 %), at a higher temperature
GENERATIONS_WANTED = 4  # one model's promise is not enough: its held-out set is as narrow as its training set. While one is
# used its successor is being trained, so that the fourth is the first that has learned from where two others went


@dataclass
class DualAveraging:
    """A step's size by dual averaging (Hoffman & Gelman 2014, eq. 6), on the acceptance probability."""

    first: float
    largest: float
    target: float
    smallest: float
    trials: int = 0
    error: float = 0.0
    log_step: float = 0.0
    log_mean: float = 0.0

    def update(self, log_ratio: float) -> None:
        """Take one trial's ln of the acceptance ratio that the step decides."""
        if self.trials >= STEP_TUNING:
            return
        probability = math.exp(min(0.0, log_ratio)) if math.isfinite(log_ratio) else 0.0
        self.trials += 1
        t = self.trials
        self.error += (self.target - probability - self.error) / (t + 10)
        log_step = math.log(2 * self.first) - math.sqrt(t) / 0.05 * self.error
        self.log_step = min(max(log_step, math.log(self.smallest)), math.log(self.largest))
        weight = t**-0.75
        self.log_mean = weight * self.log_step + (1 - weight) * self.log_mean

    @property
    def value(self) -> float:
        """The step to try next while tuning, the averaged one after it."""
        if not self.trials:
            return self.first
        return math.exp(self.log_step if self.trials < STEP_TUNING else self.log_mean)


@dataclass
class Trials:
    """Outcomes with one (generation, length), all walkers."""

    generation: int = -1
    trajectory_fs: float = 0.0
    log_ratios: list[float] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    longest_run: int = 0
    rungs: int = 1  # of a ladder of temperatures, walker by walker in turn

    @property
    def count(self) -> int:
        """Trials of each rung."""
        return len(self.accepted) // self.rungs

    @property
    def acceptance(self) -> float:
        """Share of accepted trials."""
        return float(np.mean(self.accepted)) if self.accepted else 0.0

    @property
    def lowest_acceptance(self) -> float:
        """Share of accepted trials at the rung where it is least."""
        return min(float(np.mean(self.accepted[rung :: self.rungs] or [False])) for rung in range(self.rungs))

    @property
    def creutz(self) -> tuple[float, float]:
        """Mean of exp(-beta dH) and its standard error, at the rung where it is furthest from 1."""
        told = [mean_exponential(np.array(self.log_ratios[rung :: self.rungs])) for rung in range(self.rungs)]
        worst = max(told, key=lambda one: np.nan_to_num(abs(one.mean - 1) / max(3 * one.stderr, 0.1), nan=np.inf))
        return worst.mean, worst.stderr


class Adapter:
    """Decides step, length, kind of move and the freeze; its state goes into the checkpoint.

    Every generation explores a little, then is tried: Metropolis trials of its own. One that fails them explores until its
    successor comes, so that labels come from where the surrogate goes astray and not from where the chain would stick. One that
    promises well while holes were still being found explores on, and is tried anew.
    """

    probe_acceptance, trial_acceptance, stuck_after = PROBE_ACCEPTANCE, TRIAL_ACCEPTANCE, STUCK_AFTER

    def __init__(
        self,
        timestep_fs: float,
        largest_timestep_fs: float,
        tune_step: bool,
        trajectory_fs: float | None,
        longest_fs: float,
        walkers: int,
        learns: bool,
        cell: DualAveraging | float = 0.0,
        rungs: int = 1,
    ) -> None:
        target = STEP_TARGET["surrogate" if learns else "first_principles"]
        self.step = DualAveraging(timestep_fs, largest_timestep_fs, target, timestep_fs / 8)
        self.cell = cell
        self.tune_step, self.learns = tune_step, learns
        self.fixed_length = trajectory_fs
        self.length_fs = self.first_fs = trajectory_fs or LENGTH_SHARE * longest_fs
        self.lengths = Lengths(trajectory_fs or longest_fs)  # what the trials of the generation in hand tell of each
        self.runs = [0] * walkers  # rejections in a row, by walker
        self.trials = Trials(rungs=rungs)
        self.generations: list[int] = []  # used by surrogate moves
        self.steps = 0  # of this adapt phase
        self.explored = 0  # exploring moves with this generation, or since it failed
        self.calm = 0  # exploring moves since the last hole, of all generations
        self.failed = False  # the generation in hand failed its trials: explore until its successor comes
        self.labels = 0  # sent to the trainer, and kept by it
        self.labels_wanted = 0

    def timestep_fs(self) -> float:
        """Time step of the next segment, fs."""
        return self.step.value if self.tune_step else self.step.first

    def cell_step(self) -> float:
        """Step of the cell's jumps in the next segment; 0 where there are none."""
        return self.cell.value if isinstance(self.cell, DualAveraging) else self.cell

    def trajectory_fs(self, generation: int) -> float:
        """Longest trajectory of the next segment, fs."""
        if generation < 0 and self.learns:
            return FIRST_PRINCIPLES_STEPS * self.timestep_fs()
        return self.length_fs if generation == self.trials.generation else max(self.length_fs, self.first_fs)

    def knobs(self, generation: int, move: Move) -> dict[str, Any]:
        """What else a plan holds: its further fields by name."""
        return {"cell_step": self.cell_step()}

    def wants_rescue(self) -> bool:
        """A walker has been rejected many times in a row: move it by first principles and train on the path."""
        return self.learns and max(self.runs) >= self.stuck_after

    def move(self, generation: int) -> Move:
        """Kind of the next step with a generation."""
        if generation < 0 or not self.learns:
            return Move.METROPOLIS
        fresh = generation != self.trials.generation
        poor = self.labels < self.labels_wanted
        explores = poor or fresh or self.failed or self.explored < EXPLORE_FIRST or (self._promises() and self.calm < CALM_MOVES)
        return Move.EXPLORE if explores else Move.METROPOLIS

    def _promises(self) -> bool:
        trials = self.trials
        return not self.failed and trials.count >= PROBE_TRIALS and trials.acceptance >= self.trial_acceptance

    def holds(self) -> bool:
        """Whether newer weights must wait: trials that have begun are judged, and finished if they promise well.

        The first models wait for nobody.
        """
        tried = self.trials.count
        begun = not self.failed and 0 < tried < PROBE_TRIALS
        return len(self.generations) >= GENERATIONS_WANTED and (begun or (self._promises() and tried < 2 * TRIAL_STEPS))

    def observe(self, plan: Plan, infos: Sequence[Info], seconds: Mapping[str, float] = NO_TIMES) -> None:
        """Take one step of all walkers; seconds: by activity, what it cost."""
        self.steps += 1
        if self.tune_step and (plan.generation >= 0 or not self.learns):
            for info in infos:
                self.step.update(info.log_ratio_integrator)
        if isinstance(self.cell, DualAveraging):
            for info in infos:
                if info.log_ratio_cell is not None:
                    self.cell.update(info.log_ratio_cell)
        if plan.generation < 0 and self.learns:
            self.runs = [0] * len(self.runs)
            return
        if plan.generation != self.trials.generation:
            self._begin_trials(plan)
            self.explored, self.length_fs = 0, plan.trajectory_fs
            self.lengths.forget()
        if plan.move is Move.EXPLORE:
            self._explored(plan, infos)
        else:
            self._tried(plan, infos)
            self.lengths.observe(infos, seconds)

    def _begin_trials(self, plan: Plan) -> None:
        if plan.generation not in self.generations and plan.generation >= 0:
            self.generations.append(plan.generation)
        self.trials = Trials(plan.generation, plan.trajectory_fs, rungs=self.trials.rungs)
        self.failed = False
        self.runs = [0] * len(self.runs)

    def _explored(self, plan: Plan, infos: Sequence[Info]) -> None:
        self.explored += 1
        found, before = any(info.outcome == HOLE for info in infos), self.calm
        self.calm = 0 if found else self.calm + len(infos)
        if self._promises():
            if found:
                self._fail()
            elif before < CALM_MOVES <= self.calm:  # the walk was hot: what is frozen has been tried since
                self._begin_trials(plan)
        if self.failed and self.explored >= EXPLORE_MOVES:  # no successor came: perhaps none is better, so try again,
            self._begin_trials(plan)  # with a length that such a model can have
            self.length_fs = self._acceptable_length()

    def _tried(self, plan: Plan, infos: Sequence[Info]) -> None:
        if plan.trajectory_fs != self.trials.trajectory_fs:
            self._begin_trials(plan)
            self.length_fs = plan.trajectory_fs  # a recorded plan is imposed: what is tried is what it says
        for w, info in enumerate(infos):
            self.runs[w] = 0 if info.accepted else self.runs[w] + 1
            self.trials.log_ratios.append(info.log_ratio)
            self.trials.accepted.append(info.accepted)
        self.trials.longest_run = max(self.trials.longest_run, *self.runs)
        if self.learns and plan.generation >= 0 and self._fails():
            if self.fixed_length is None and self.length_fs > self.first_fs:
                self.length_fs = self.first_fs  # it is the hope for a longer one that has failed
            else:
                self._fail()

    def _fail(self) -> None:
        self.failed, self.explored = True, 0
        self._shorten()

    def _fails(self) -> bool:
        trials = self.trials
        count = trials.count
        if trials.longest_run >= self.stuck_after or (count >= PROBE_TRIALS and trials.acceptance < self.probe_acceptance):
            return True
        if count >= TRIAL_STEPS // 2 and trials.acceptance < self.trial_acceptance - HOPELESS:
            return True
        return count >= 2 * TRIAL_STEPS and not self.converged() and self._wanted_length() == self.length_fs

    def _wanted_length(self) -> float:
        """The length whose expected squared jump for the cost is the greatest, as far as the trials in hand may say."""
        trials, now = self.trials, self.length_fs
        if not self.learns or self.fixed_length is not None or self.failed or trials.count < LENGTH_TRIALS:
            return now
        wanted = self.lengths.best(now, LENGTH_GAIN, self.trial_acceptance)
        shortens = trials.count >= SHORTEN_TRIALS and self._promises()
        return wanted if wanted > now or shortens else now

    def _acceptable_length(self) -> float:
        """Of a generation that failed: the best length at which it would have passed, at most half of the present one."""
        if self.fixed_length is not None:
            return self.fixed_length
        half = max(0.5 * self.length_fs, self.lengths.shortest_fs)
        return min(half, self.lengths.best(half, 1.0, self.trial_acceptance))

    def adjust(self) -> list[dict[str, Any]]:
        """Between segments: another length where it is worth it; returns rows for the ledger."""
        before, self.length_fs = self.length_fs, self._wanted_length()
        if self.length_fs == before:
            return []
        return [{"event": "length", "before_fs": before, "trajectory_fs": self.length_fs, "lengths": self.lengths.rows()}]

    def criteria(self) -> dict[str, Any]:
        """The freeze criteria with their numbers; all `met` values true means converged."""
        trials = self.trials
        enough = trials.count >= TRIAL_STEPS
        dynamics = enough and untested(np.array(trials.log_ratios), np.array(trials.accepted))
        mean, error = trials.creutz if enough and not dynamics else (0.0, 0.0)
        generations = len(self.generations)
        good = trials.acceptance >= 0.9 and trials.count >= 2 * TRIAL_STEPS  # needs no successor, and none came
        met = {
            "trials": enough and trials.trajectory_fs == self.trajectory_fs(trials.generation),
            "acceptance": trials.acceptance >= self.trial_acceptance and trials.lowest_acceptance >= self.probe_acceptance,
            "length": self._wanted_length() == self.length_fs,
            "exp_minus_beta_dH": dynamics or abs(mean - 1) <= max(3 * error, 0.1),
            "rejection_run": trials.longest_run < self.stuck_after,
            "labels": not self.learns or self.labels >= self.labels_wanted,
            "holes": not self.learns or self.calm >= CALM_MOVES,
            "generations": not self.learns or generations >= GENERATIONS_WANTED or good,
        }
        numbers = {"trials": trials.count, "acceptance": trials.acceptance, "longest_rejection_run": trials.longest_run}
        found = {"exp_minus_beta_dH": mean, "generations": generations, "moves_without_hole": self.calm}
        return {"met": met, **numbers, **found, "lengths": self.lengths.rows()}

    def converged(self) -> bool:
        """Freeze only a pair (generation, length) that has itself been tried."""
        return all(self.criteria()["met"].values())

    def restart(self) -> None:
        """Back to adapt after a block that stuck: explore from there, then try everything again."""
        self.steps, self.explored, self.calm, self.failed = 0, 0, 0, True
        self._shorten()

    def _shorten(self) -> None:
        self.length_fs = max(self.length_fs / 2, min(self.length_fs, self.first_fs))

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {
            "step": asdict(self.step),
            "cell": asdict(self.cell) if isinstance(self.cell, DualAveraging) else None,
            "length_fs": self.length_fs,
            "lengths": asdict(self.lengths),
            "runs": self.runs,
            "trials": asdict(self.trials),
            "generations": self.generations,
            "steps": self.steps,
            "explored": self.explored,
            "calm": self.calm,
            "failed": self.failed,
            "labels": self.labels,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of dump."""
        self.step = DualAveraging(**state["step"])
        if state["cell"] is not None:
            self.cell = DualAveraging(**state["cell"])
        trials = state["trials"]
        self.trials = Trials(**{**trials, "log_ratios": list(trials["log_ratios"]), "accepted": list(trials["accepted"])})
        if "lengths" in state:
            self.lengths = Lengths(**state["lengths"])
        self.length_fs, self.steps = state["length_fs"], state["steps"]
        self.explored, self.calm, self.failed = state["explored"], state["calm"], state["failed"]
        self.labels = state.get("labels", 0)
        self.runs, self.generations = list(state["runs"]), list(state["generations"])
