"""Training alone: one fit of any learner on given frames, watched on validation frames; the best model seen is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kernels.potentials.base import load
from protocol.errors import BadSetting, LearnFailed
from protocol.shutdown import Shutdown
from renkei.labels import parity
from renkei.labels.checks import key_of
from renkei.labels.frames import Frame
from train_daemon.dataset import BLOCK_STEPS, Sample, TrainingSet, virial_of
from train_daemon.learners.base import Budget, Learner, Model

DEFAULT_STEPS, DEFAULT_EPOCHS = 10_000, 20  # at least
VALIDATION_SHARE = 0.15  # of the time, at most, goes into looking at the validation frames
TRIAL_STEPS = 10  # the first steps compile; they are not timed
TRIAL_SHARE, TRIAL_MOST_S = 0.05, 5.0  # of a time limit, to measure how fast steps are
OVERRUN = 1.1  # a fit that is slower than its trial is cut off at so many times the limit


@dataclass(frozen=True)
class Length:
    """How long to train; at most one is given."""

    steps: int | None = None
    epochs: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Raises BadSetting if more than one is given."""
        given = [f"--{name}" for name, value in vars(self).items() if value is not None]
        if len(given) > 1:
            raise BadSetting("say the length once", " ".join(given), "keep one of them")


@dataclass
class Course:
    """What happened, and the best model so far."""

    best: Model
    best_step: int = 0
    best_score: float = math.inf
    steps: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)  # by the learner: loss and errors on the training side
    validations: list[dict[str, Any]] = field(default_factory=list)  # step and the numbers of `parity.errors`
    seconds: dict[str, float] = field(default_factory=lambda: {"preparing": 0.0, "training": 0.0, "validating": 0.0})
    reason: str = "done"
    failure: LearnFailed | None = None


Watch = Callable[[Course, int | None], None]  # after every optimiser step, with the number of steps planned, if it is known


def training_set(frames: Sequence[Frame], species: tuple[int, ...]) -> TrainingSet:
    """The frames as a learner wants them, with weight 1, in blocks of their trajectories.  species: atomic numbers, ascending."""
    return TrainingSet(tuple(map(_sample, frames)), species)


def _sample(frame: Frame) -> Sample:
    virial = virial_of(frame.stress, frame.structure.cell)
    block = frame.trajectory, frame.place // BLOCK_STEPS
    return Sample(key_of(frame), frame.structure, frame.energy, frame.forces, 1.0, block, virial)


def train(
    learner: Learner,
    data: TrainingSet,
    validation: Sequence[Frame],
    length: Length,
    shutdown: Shutdown,
    watch: Watch,
    networks: int = 1,
) -> Course:
    """Train until the length is reached or a stop is asked for.

    The best model is the one with the smallest product of energy and force error on the validation frames, and of the error of
    stresses where these frames have them; without such frames it is the last one. A fit that fails ends the course, which keeps
    what was best before.  networks: how many a fit trains one after the other; they share a time limit.
    """
    begun = time.monotonic()
    model = learner.start(data)
    course = Course(model)
    course.seconds["preparing"] = time.monotonic() - begun
    return _Session(learner, data, validation, shutdown, watch, course, networks).run(length)


class _Session:
    """One fit and what is remembered of it."""

    def __init__(
        self,
        learner: Learner,
        data: TrainingSet,
        validation: Sequence[Frame],
        shutdown: Shutdown,
        watch: Watch,
        course: Course,
        networks: int,
    ) -> None:
        self.learner, self.data, self.validation = learner, data, validation
        self.shutdown, self.watch, self.course, self.networks = shutdown, watch, course, networks
        self.planned: int | None = None
        self.limit_s = math.inf
        self.begun = time.monotonic()
        self.looked_at, self.look_s = self.begun, 0.0
        self.seen = -1  # the step that was validated last

    def run(self, length: Length) -> Course:
        """Measure the speed where a time is given, fit, and look at the last model."""
        course = self.course
        steps, epochs = self._budget(length)
        try:
            if steps is not None:
                budget = Budget(steps, epochs, self._should_stop, self._on_epoch, self._on_progress)
                last, report = self.learner.fit(course.best, self.data, budget)
                course.steps = report.steps
                self._consider(last)
        except LearnFailed as error:
            course.failure, course.reason = error, "the fit failed"
        course.reason = self.shutdown.reason() or course.reason
        course.seconds["training"] = time.monotonic() - self.begun - course.seconds["validating"]
        return course

    def _budget(self, length: Length) -> tuple[int | None, int]:
        """Optimiser steps and epochs, at least; None if a stop came before the first step."""
        if length.seconds is not None:
            return self._steps_in(length.seconds), 0
        if length.epochs is not None:
            return 1, length.epochs
        if length.steps is not None:
            self.planned = length.steps * self.networks
            return length.steps, 0
        return DEFAULT_STEPS, DEFAULT_EPOCHS

    def _steps_in(self, seconds: float) -> int | None:
        """Steps that fit into a time: the learning rate falls along the whole fit, so it must know its end."""
        enough = min(TRIAL_SHARE * seconds, TRIAL_MOST_S)
        times: list[float] = []

        def stop() -> bool:
            times.append(time.monotonic())
            asked = self.shutdown.reason() is not None
            return asked or (len(times) > TRIAL_STEPS + 1 and times[-1] - times[TRIAL_STEPS] > enough)

        self.learner.fit(self.course.best, self.data, Budget(10**9, 0, stop, lambda row: None))
        self.limit_s = OVERRUN * seconds
        if self.shutdown.reason() is not None or len(times) < TRIAL_STEPS + 2:
            return None
        pace = (times[-1] - times[TRIAL_STEPS]) / (len(times) - 1 - TRIAL_STEPS)
        left = seconds - (time.monotonic() - self.begun)
        each = max(1, int((1.0 - VALIDATION_SHARE) * left / pace / self.networks))
        self.planned = each * self.networks
        return each

    def _should_stop(self) -> bool:
        self.course.steps += 1
        self.watch(self.course, self.planned)
        if time.monotonic() - self.begun > self.limit_s:
            self.course.reason = "time is up"
            return True
        return self.shutdown.reason() is not None

    def _on_epoch(self, row: Mapping[str, Any]) -> None:
        self.course.rows.append({**row, "step": int(row.get("step", self.course.steps))})
        self.planned = int(row["steps"]) * self.networks if "steps" in row else self.planned

    def _on_progress(self, snapshot: Callable[[], Model]) -> None:
        """Look at the model, unless the last look was so long that it is too early."""
        since = time.monotonic() - self.looked_at
        if self.validation and since * VALIDATION_SHARE >= self.look_s:
            self._consider(snapshot())

    def _consider(self, model: Model) -> None:
        """Judge a model by its exported files, and keep it if it is the best."""
        course = self.course
        if self.seen == course.steps:
            return
        self.seen = course.steps
        if not self.validation:
            course.best, course.best_step = model, course.steps
            return
        begun = time.monotonic()
        found = parity.errors(self.validation, self._predictions(model))
        score = found["energy_rmse_meV_per_atom"] * found["force_rmse_eV_per_A"] * found.get("stress_rmse_eV_per_A3", 1.0)
        course.validations.append({"step": course.steps, "seconds": begun - self.begun, **found})
        if math.isfinite(score) and score < course.best_score:
            course.best, course.best_step, course.best_score = model, course.steps, score
        self.looked_at = time.monotonic()
        self.look_s = self.looked_at - begun
        course.seconds["validating"] += self.look_s

    def _predictions(self, model: Model) -> parity.Predictions:
        with TemporaryDirectory(prefix="renkei-") as name:
            export = self.learner.export(model, Path(name))
            return parity.predict(load(export.format, Path(name), 0), self.validation)
