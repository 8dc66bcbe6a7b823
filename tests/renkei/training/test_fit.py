"""The course of a training with a learner whose every model is known: what is kept, and how it ends."""

import itertools
import math
import time
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol.errors import BadSetting, LearnFailed
from protocol.shutdown import Shutdown
from renkei.labels import frames as labelled
from renkei.training import fit as training
from train_daemon.learners.base import Export, FitReport

ROW = 10  # steps between two rows


@dataclass
class Known:
    """Model k says the reference energies plus `offsets[k]` for every atom, and no forces; k counts the rows."""

    offsets: tuple[float, ...]
    fails_at: int = -1
    step_s: float = 0.0
    device: str = "cpu"
    device_reason: str = "a test"
    fits: int = 0
    sleep = staticmethod(time.sleep)

    def start(self, data):
        return 99.0

    def fit(self, model, data, budget):
        self.fits += 1
        for step in itertools.count(1):
            self.sleep(self.step_s)
            stop = budget.should_stop() or step >= max(budget.steps, budget.epochs * ROW)
            if step % ROW == 0 or stop:
                row = math.ceil(step / ROW) - 1
                if row == self.fails_at:
                    raise LearnFailed("the loss is not a finite number")
                now = self.offsets[min(row, len(self.offsets) - 1)]
                budget.on_epoch({"epoch": row + 1, "loss": 1.0})
                budget.on_progress(lambda now=now: now)
            if stop:
                return now, FitReport(step, row + 1, {})

    def export(self, model, folder):
        descriptor = Chebyshev((1, 8), "species_resolved", 2, 3.0, 1, 2.0, (1, 3))
        layers = (((np.zeros((1, descriptor.length)), np.zeros(1)),),) * 2
        zeros = np.zeros((2, descriptor.length))
        bpnn.write(folder, bpnn.BpnnModel(descriptor, layers, "linear", zeros, zeros, np.array([-13.0, -430.0]) + model))
        return Export("bpnn", (1, 8), 3.0, {})


@pytest.fixture
def frames(xyz, molecules):
    return labelled.read([xyz(molecules(12))])


@pytest.fixture
def shutdown():
    made = Shutdown(None, set)
    yield made
    made.restore()


def course_of(learner, frames, shutdown, length, held=True, watch=lambda course, planned: None, networks=1):
    data = training.training_set(frames[:9], (1, 8))
    return training.train(learner, data, frames[9:] if held else (), length, shutdown, watch, networks)


@pytest.fixture
def always_looking(monkeypatch):
    monkeypatch.setattr(training, "VALIDATION_SHARE", 1e9)


@pytest.fixture
def steady(monkeypatch):
    """A clock that moves only while the learner sleeps: what other jobs do to this machine is no part of these tests."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Known, "sleep", staticmethod(sleep))  # not everybody's: a thread of another test may sleep too


@pytest.mark.usefixtures("always_looking")
def test_the_best_on_validation_is_kept_not_the_last(frames, shutdown):
    course = course_of(Known((3.0, 0.5, 2.0)), frames, shutdown, training.Length(steps=30))
    assert (course.best, course.best_step, course.steps, course.reason) == (0.5, 20, 30, "done")
    assert [row["step"] for row in course.validations] == [10, 20, 30]
    assert len(course.rows) == 3
    errors = [row["energy_rmse_meV_per_atom"] for row in course.validations]
    assert errors[1] < errors[2] < errors[0]


def test_without_validation_frames_the_last_is_kept(frames, shutdown):
    course = course_of(Known((3.0, 0.5, 2.0)), frames, shutdown, training.Length(steps=30), held=False)
    assert (course.best, course.best_step, course.validations) == (2.0, 30, [])


@pytest.mark.usefixtures("always_looking")
def test_a_failed_fit_keeps_what_was_best(frames, shutdown):
    course = course_of(Known((3.0, 0.5), fails_at=2), frames, shutdown, training.Length(steps=100))
    assert (course.best, course.best_step, course.reason) == (0.5, 20, "the fit failed")
    assert "not a finite number" in str(course.failure)


@pytest.mark.usefixtures("always_looking")
def test_a_model_that_is_not_finite_is_never_the_best(frames, shutdown, monkeypatch):
    errors = training.parity.errors
    broken = iter([float("nan"), 1.0])
    monkeypatch.setattr(training.parity, "errors", lambda f, p: {**errors(f, p), "energy_rmse_meV_per_atom": next(broken)})
    assert course_of(Known((0.0, 1.0)), frames, shutdown, training.Length(steps=20)).best == 1.0


def test_a_stop_ends_the_fit_and_keeps_its_model(frames, shutdown, monkeypatch):
    def watch(course, planned):
        if course.steps == 25:
            monkeypatch.setattr(shutdown, "_find", lambda: "SIGINT")

    course = course_of(Known((3.0, 2.0, 1.0)), frames, shutdown, training.Length(steps=1000), watch=watch)
    assert (course.steps, course.best, course.reason) == (25, 1.0, "SIGINT")


@pytest.mark.usefixtures("steady")
def test_a_time_becomes_a_number_of_steps(frames, shutdown):
    """The learning rate falls along the whole fit: its end must be known when it begins."""
    learner = Known((1.0,), step_s=0.002)
    planned = []
    course = course_of(learner, frames, shutdown, training.Length(seconds=1.0), watch=lambda c, p: planned.append(p))
    assert learner.fits == 2
    assert course.steps == planned[0]
    assert 50 < course.steps < 500
    assert course.reason == "done"


@pytest.mark.usefixtures("steady")
def test_networks_of_a_committee_share_a_time(frames, shutdown):
    learner, asked = Known((1.0,), step_s=0.002), []
    original = learner.fit

    def one_after_another(model, data, budget):
        asked.append(budget.steps)
        return [original(model, data, budget) for _ in range(3 if budget.steps < 10**9 else 1)][-1]

    learner.fit = one_after_another
    planned = []
    course = course_of(learner, frames, shutdown, training.Length(seconds=1.0), watch=lambda c, p: planned.append(p), networks=3)
    assert planned[0] == 3 * asked[1]
    assert 50 < 3 * asked[1] < 500
    assert course.reason == "done"


def test_stresses_count_where_the_validation_frames_have_them(frames, shutdown, monkeypatch):
    """Energies alone would keep the first model."""
    errors, stresses = training.parity.errors, iter([9.0, 0.1])
    monkeypatch.setattr(training, "VALIDATION_SHARE", 1e9)
    monkeypatch.setattr(training.parity, "errors", lambda f, p: {**errors(f, p), "stress_rmse_eV_per_A3": next(stresses)})
    assert course_of(Known((0.5, 0.6)), frames, shutdown, training.Length(steps=20)).best == 0.6


@pytest.mark.usefixtures("steady")
def test_a_fit_that_is_slower_than_its_trial_is_cut_off(frames, shutdown, monkeypatch):
    learner = Known((1.0,), step_s=0.001)
    original = learner.fit

    def slower(model, data, budget):
        learner.step_s = 0.001 if learner.fits == 0 else 0.1
        return original(model, data, budget)

    monkeypatch.setattr(learner, "fit", slower)
    course = course_of(learner, frames, shutdown, training.Length(seconds=1.0))
    assert course.reason == "time is up"
    assert course.best == 1.0


def test_a_stop_before_the_first_step_makes_no_step(frames, shutdown, monkeypatch):
    monkeypatch.setattr(shutdown, "_find", lambda: "SIGINT")
    course = course_of(Known((1.0,)), frames, shutdown, training.Length(seconds=9.0))
    assert (course.steps, course.reason, course.best) == (0, "SIGINT", 99.0)


def test_epochs_and_the_default(frames, shutdown, monkeypatch):
    assert course_of(Known((1.0,)), frames, shutdown, training.Length(epochs=3)).steps == 3 * ROW
    monkeypatch.setattr(training, "DEFAULT_STEPS", 70)
    monkeypatch.setattr(training, "DEFAULT_EPOCHS", 2)
    assert course_of(Known((1.0,)), frames, shutdown, training.Length()).steps == 70


def test_the_length_is_said_once():
    with pytest.raises(BadSetting, match="--steps --seconds: say the length once"):
        training.Length(steps=1, seconds=2.0)


def test_looking_costs_its_share_at_most(frames, shutdown, monkeypatch):
    predict = training.parity.predict
    monkeypatch.setattr(training.parity, "predict", lambda *words: (time.sleep(0.05), predict(*words))[1])
    course = course_of(Known((3.0, 2.0)), frames, shutdown, training.Length(steps=400))
    assert len(course.validations) < 10, "40 rows came within a moment"
    assert course.validations[-1]["step"] == 400, "the last model is always looked at"


def test_blocks_of_a_trajectory_reach_the_learner(frames):
    moved = [replace(frame, place=k * 7) for k, frame in enumerate(frames)]
    data = training.training_set(moved, (1, 8))
    assert [sample.block[1] for sample in data.samples] == [k * 7 // 20 for k in range(len(frames))]
    assert len({sample.key for sample in data.samples}) == len(frames)
