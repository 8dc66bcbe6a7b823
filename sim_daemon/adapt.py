"""The adapt phase: time step from the integrator's acceptance, trajectory length from the model's, and when to freeze.

Two separate signals (docs/methods.md): the integrator's acceptance controls the step by dual averaging, the acceptance on
trials controls the length; neither is fed by the other. Nothing here runs in production.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kernels.statistics import mean_exponential, untested
from sim_daemon.moves.explore import HOLE
from sim_daemon.samplers.base import Info, Move, Plan

STEP_TARGET = {"surrogate": 0.95, "first_principles": 0.75}  # of the integrator's acceptance
CELL_TARGET = 0.7  # of a jump's own acceptance, its work judged by the potential that drives the trajectory
STEP_TUNING = 60  # trials of dual averaging; then the step stays
FIRST_PRINCIPLES_STEPS = 10  # time steps of a move without a surrogate, in adapt
LENGTH_SHARE = 0.5  # of trajectory_max_fs: the first length, and the least; a short one is accepted by any model
LENGTH_TRIALS = 12  # trials with one (generation, length) before it may be doubled
LENGTHEN_ABOVE = 0.6  # acceptance: twice the length mixes up to four times as fast, which outweighs some rejections
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

    @property
    def acceptance(self) -> float:
        """Share of accepted trials."""
        return float(np.mean(self.accepted)) if self.accepted else 0.0

    @property
    def creutz(self) -> tuple[float, float]:
        """Mean of exp(-beta dH) and its standard error."""
        told = mean_exponential(np.array(self.log_ratios))
        return told.mean, told.stderr


class Adapter:
    """Decides step, length, kind of move and the freeze; its state goes into the checkpoint.

    Every generation explores a little, then is tried: Metropolis trials of its own. One that fails them explores until its
    successor comes, so that labels come from where the surrogate goes astray and not from where the chain would stick. One that
    promises well while holes were still being found explores on, and is tried anew.
    """

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
    ) -> None:
        target = STEP_TARGET["surrogate" if learns else "first_principles"]
        self.step = DualAveraging(timestep_fs, largest_timestep_fs, target, timestep_fs / 8)
        self.cell = cell
        self.tune_step, self.learns = tune_step, learns
        self.fixed_length = trajectory_fs
        self.longest_fs = trajectory_fs or longest_fs
        self.length_fs = trajectory_fs or LENGTH_SHARE * longest_fs
        self.runs = [0] * walkers  # rejections in a row, by walker
        self.trials = Trials()
        self.generations: list[int] = []  # used by surrogate moves
        self.steps = 0  # of this adapt phase
        self.explored = 0  # exploring moves with this generation, or since it failed
        self.calm = 0  # exploring moves since the last hole, of all generations
        self.failed = False  # the generation in hand failed its trials: explore until its successor comes

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
        return self.length_fs

    def knobs(self, generation: int, move: Move) -> dict[str, Any]:
        """What else a plan holds: its further fields by name."""
        return {"cell_step": self.cell_step()}

    def wants_rescue(self) -> bool:
        """A walker has been rejected many times in a row: move it by first principles and train on the path."""
        return self.learns and max(self.runs) >= STUCK_AFTER

    def move(self, generation: int) -> Move:
        """Kind of the next step with a generation."""
        if generation < 0 or not self.learns:
            return Move.METROPOLIS
        fresh = generation != self.trials.generation
        explores = fresh or self.failed or self.explored < EXPLORE_FIRST or (self._promises() and self.calm < CALM_MOVES)
        return Move.EXPLORE if explores else Move.METROPOLIS

    def _promises(self) -> bool:
        trials = self.trials
        return not self.failed and len(trials.accepted) >= PROBE_TRIALS and trials.acceptance >= TRIAL_ACCEPTANCE

    def holds(self) -> bool:
        """Whether newer weights must wait: trials that have begun are judged, and finished if they promise well.

        The first models wait for nobody.
        """
        tried = len(self.trials.accepted)
        begun = not self.failed and 0 < tried < PROBE_TRIALS
        return len(self.generations) >= GENERATIONS_WANTED and (begun or (self._promises() and tried < 2 * TRIAL_STEPS))

    def observe(self, plan: Plan, infos: Sequence[Info]) -> None:
        """Take one step of all walkers."""
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
            self.explored = 0
        if plan.move is Move.EXPLORE:
            self._explored(plan, infos)
        else:
            self._tried(plan, infos)

    def _begin_trials(self, plan: Plan) -> None:
        if plan.generation not in self.generations and plan.generation >= 0:
            self.generations.append(plan.generation)
        self.trials, self.failed = Trials(plan.generation, plan.trajectory_fs), False
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
        if self.failed and self.explored >= EXPLORE_MOVES:  # no successor came: perhaps none is better, so try again
            self._begin_trials(plan)

    def _tried(self, plan: Plan, infos: Sequence[Info]) -> None:
        if plan.trajectory_fs != self.trials.trajectory_fs:
            self._begin_trials(plan)
        for w, info in enumerate(infos):
            self.runs[w] = 0 if info.accepted else self.runs[w] + 1
            self.trials.log_ratios.append(info.log_ratio)
            self.trials.accepted.append(info.accepted)
        self.trials.longest_run = max(self.trials.longest_run, *self.runs)
        if self.learns and plan.generation >= 0 and self._fails():
            self._fail()

    def _fail(self) -> None:
        self.failed, self.explored = True, 0
        self._shorten()

    def _fails(self) -> bool:
        trials = self.trials
        count = len(trials.accepted)
        if trials.longest_run >= STUCK_AFTER or (count >= PROBE_TRIALS and trials.acceptance < PROBE_ACCEPTANCE):
            return True
        if count >= TRIAL_STEPS // 2 and trials.acceptance < TRIAL_ACCEPTANCE - HOPELESS:
            return True
        return count >= 2 * TRIAL_STEPS and not self.converged() and not self._lengthens()

    def _lengthens(self) -> bool:
        return self.learns and self.length_fs < self.longest_fs and self.trials.acceptance > LENGTHEN_ABOVE

    def adjust(self) -> None:
        """Between segments: a length that is accepted easily may be longer."""
        trials = self.trials
        if not self.failed and len(trials.accepted) >= LENGTH_TRIALS and self._lengthens():
            self.length_fs = min(self.longest_fs, 2 * self.length_fs)

    def criteria(self) -> dict[str, Any]:
        """The freeze criteria with their numbers; all `met` values true means converged."""
        trials = self.trials
        enough = len(trials.accepted) >= TRIAL_STEPS
        dynamics = enough and untested(np.array(trials.log_ratios), np.array(trials.accepted))
        mean, error = trials.creutz if enough and not dynamics else (0.0, 0.0)
        generations = len(self.generations)
        good = trials.acceptance >= 0.9 and len(trials.accepted) >= 2 * TRIAL_STEPS  # needs no successor, and none came
        met = {
            "trials": enough and trials.trajectory_fs == self.trajectory_fs(trials.generation),
            "acceptance": trials.acceptance >= TRIAL_ACCEPTANCE,
            "length": not self._lengthens(),
            "exp_minus_beta_dH": dynamics or abs(mean - 1) <= max(3 * error, 0.1),
            "rejection_run": trials.longest_run < STUCK_AFTER,
            "holes": not self.learns or self.calm >= CALM_MOVES,
            "generations": not self.learns or generations >= GENERATIONS_WANTED or good,
        }
        numbers = {"trials": len(trials.accepted), "acceptance": trials.acceptance, "longest_rejection_run": trials.longest_run}
        found = {"exp_minus_beta_dH": mean, "generations": generations, "moves_without_hole": self.calm}
        return {"met": met, **numbers, **found}

    def converged(self) -> bool:
        """Freeze only a pair (generation, length) that has itself been tried."""
        return all(self.criteria()["met"].values())

    def restart(self) -> None:
        """Back to adapt after a block that stuck: explore from there, then try everything again."""
        self.steps, self.explored, self.calm, self.failed = 0, 0, 0, True
        self._shorten()

    def _shorten(self) -> None:
        self.length_fs = self.fixed_length or max(self.length_fs / 2, LENGTH_SHARE * self.longest_fs)

    def dump(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        return {
            "step": asdict(self.step),
            "cell": asdict(self.cell) if isinstance(self.cell, DualAveraging) else None,
            "length_fs": self.length_fs,
            "runs": self.runs,
            "trials": asdict(self.trials),
            "generations": self.generations,
            "steps": self.steps,
            "explored": self.explored,
            "calm": self.calm,
            "failed": self.failed,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of dump."""
        self.step = DualAveraging(**state["step"])
        if state["cell"] is not None:
            self.cell = DualAveraging(**state["cell"])
        trials = state["trials"]
        self.trials = Trials(**{**trials, "log_ratios": list(trials["log_ratios"]), "accepted": list(trials["accepted"])})
        self.length_fs, self.steps = state["length_fs"], state["steps"]
        self.explored, self.calm, self.failed = state["explored"], state["calm"], state["failed"]
        self.runs, self.generations = list(state["runs"]), list(state["generations"])
