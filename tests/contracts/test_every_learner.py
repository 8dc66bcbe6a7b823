"""What every learner must do; a new file in train_daemon/learners is tested as soon as it has a case here.

The examples of docs/extending.md are tested as a stranger's learner would be: from outside, by their dotted names.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import train_daemon.learners
from kernels.potentials.base import load as load_potential
from protocol.errors import LearnFailed
from protocol.records import Structure
from protocol.settings import plugin_names
from renkei.plugins import PLUGINS
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.gate import evaluate
from train_daemon.learners.base import Budget, LearnerContext
from train_daemon.learners.base import load as load_learner

FOLDER = Path(train_daemon.learners.__file__).parent
OURS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "base"))
EXAMPLES = ("examples.linear_learner", "examples.radial_learner")
SHORT = {"radial": {"order": 5, "cutoff_A": 4.0}, "angular": {"order": 3, "cutoff_A": 3.5}, "batch": 8}
SPLINES = {"radial": {"intervals": 8, "cutoff_A": 4.0}, "angular": {"intervals": 5, "cutoff_A": 3.5}, "basis": "bspline"}
CASES = {
    "chebyshev_bpnn": {**SHORT, "hidden": (10,)},
    "kan": {**SHORT, "functions": 10, "hidden": ()},
    "kan bspline": {**SHORT, **SPLINES, "functions": 10, "hidden": ()},
    EXAMPLES[0]: {key: SHORT[key] for key in ("radial", "angular")},
    EXAMPLES[1]: {"order": 8, "cutoff_A": 4.0, "batch": 8},
}
NUMBERS = np.array([8, 1, 1])
START = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
SPRINGS = {(0, 1): (30.0, 0.96), (0, 2): (30.0, 0.96), (1, 2): (8.0, 1.52)}  # eV/A^2, A
OPEN = np.zeros((3, 3)), np.zeros(3, bool)


def sample(key, positions):
    """A bent molecule held by springs, with its exact label."""
    energy, forces = -100.0, np.zeros((3, 3))
    for (i, j), (stiffness, length) in SPRINGS.items():
        vector = positions[j] - positions[i]
        distance = np.linalg.norm(vector)
        energy += 0.5 * stiffness * (distance - length) ** 2
        pull = stiffness * (distance - length) * vector / distance
        forces[i] += pull
        forces[j] -= pull
    return Sample(key, Structure(positions, NUMBERS, *OPEN), energy, forces, 1.0)


def training_set(count, seed=0):
    rng = np.random.default_rng(seed)
    places = START + 0.06 * rng.standard_normal((count, 3, 3))
    return TrainingSet(tuple(sample(f"{seed}/{k}".encode(), place) for k, place in enumerate(places)), (1, 8))


def budget(steps, should_stop=lambda: False):
    return Budget(steps, 1, should_stop, lambda row: None)


@pytest.fixture(scope="module", autouse=True)
def examples():
    """PYTHONPATH=docs"""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER.parents[1] / "docs"))
        yield
    for module in [name for name in sys.modules if name.partition(".")[0] == "examples"]:
        del sys.modules[module]


def load(name):
    """The module of a case."""
    return load_learner(name.split()[0])


@pytest.fixture(params=CASES)
def name(request):
    return request.param


def test_every_learner_has_a_case():
    assert {name.split()[0] for name in CASES} == {*OURS, *EXAMPLES}


@pytest.fixture
def make(name):
    def build():
        module = load(name)
        return module.build(module.Settings(**CASES[name]), LearnerContext("cpu", 1, seed=3))

    return build


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """By name: a learner, its model after some steps, the exported potential and what export said; each made once."""
    kept = {}

    def of(name):
        if name not in kept:
            module, folder = load(name), tmp_path_factory.mktemp(name)
            learner = module.build(module.Settings(**CASES[name]), LearnerContext("cpu", 1, seed=3))
            data = training_set(40)
            model, _ = learner.fit(learner.start(data), data, budget(400))
            export = learner.export(model, folder)
            kept[name] = learner, model, export, load_potential(export.format, folder, 7)
        return kept[name]

    return of


def files(learner, model, folder):
    """The exported bytes, by file name."""
    folder.mkdir()
    learner.export(model, folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_run_may_name_it(name):
    name = name.split()[0]
    assert name in plugin_names(PLUGINS["learner"]) or "." in name
    assert PLUGINS["learner"](name).Settings is load(name).Settings


def test_settings_are_frozen_named_after_the_file_and_strange_keys_refused(name):
    module = load(name)
    settings = module.Settings(**CASES[name])
    assert settings.name == module.Settings().name == name.split()[0]
    with pytest.raises(ValidationError):
        settings.name = "other"
    with pytest.raises(ValidationError):
        module.Settings(**CASES[name], hiden=(3,))


def test_the_export_says_what_it_is(name, learned):
    _, _, export, potential = learned(name)
    assert export.species == potential.species == (1, 8)
    assert export.cutoff_A == potential.cutoff == 4.0
    assert potential.generation == 7


def test_the_simulator_sees_what_the_trainer_does(name, learned):
    """Before its first step a fit on all structures at once finds the errors of the exported files."""
    learner, model, _, potential = learned(name)
    data, module = training_set(40), load(name)
    at_once = {"batch": 64} if "batch" in module.Settings.model_fields else {}
    whole = module.build(module.Settings(**{**CASES[name], **at_once}), LearnerContext("cpu", 1, seed=3))
    _, report = whole.fit(whole.restore(learner.dump(model)), data, budget(1))
    energies, forces = evaluate(potential, data.samples)
    off = np.array([found - one.energy for found, one in zip(energies, data.samples, strict=True)]) / 3
    wrong = np.array([found - one.forces for found, one in zip(forces, data.samples, strict=True)])
    here = {"rmse_energy_meV_per_atom": 1e3 * np.sqrt(np.mean(off**2)), "rmse_force_eV_per_A": np.sqrt(np.mean(wrong**2))}
    assert report.errors == pytest.approx(here, rel=0.01)
    assert here["rmse_force_eV_per_A"] < 0.2 * np.sqrt(np.mean([one.forces**2 for one in data.samples]))


def test_the_forces_are_the_slopes_of_the_energy(name, learned):
    potential = learned(name)[-1]
    place = training_set(1, seed=5).samples[0].structure.positions
    steps = 1e-4 * np.eye(9).reshape(9, 3, 3)
    low, high = (potential.evaluate(place + sign * steps, NUMBERS, *OPEN).energy for sign in (-1, 1))
    forces = potential.evaluate(place[None], NUMBERS, *OPEN).forces[0]
    assert np.allclose((low - high) / 2e-4, forces.ravel(), rtol=1e-5, atol=1e-5 * np.abs(forces).max())


def test_turned_moved_and_renamed_molecules_are_the_same(name, learned):
    potential = learned(name)[-1]
    places = np.array([one.structure.positions for one in training_set(3, seed=5).samples])
    plain = potential.evaluate(places, NUMBERS, *OPEN)
    turn, order = np.linalg.qr(np.random.default_rng(6).normal(size=(3, 3)))[0], np.array([2, 0, 1])
    moved = potential.evaluate((places @ turn + [3.0, -7.0, 0.3])[:, order], NUMBERS[order], *OPEN)
    assert np.allclose(moved.energy, plain.energy, rtol=1e-12)
    assert np.allclose(moved.forces, (plain.forces @ turn)[:, order], rtol=0, atol=1e-10 * np.abs(plain.forces).max())


def test_a_structure_has_the_same_bits_in_any_batch_and_nan_stays_alone(name, learned):
    potential = learned(name)[-1]
    places = np.array([one.structure.positions for one in training_set(3, seed=5).samples])
    places[1, 0, 0] = np.nan
    together = potential.evaluate(places, NUMBERS, *OPEN)
    assert np.isnan(together.energy[1])
    assert np.isnan(together.forces[1]).all()
    for b in (0, 2):
        alone = potential.evaluate(places[b : b + 1], NUMBERS, *OPEN)
        assert alone.energy[0] == together.energy[b]
        assert np.array_equal(alone.forces[0], together.forces[b])


def test_a_foreign_species_is_refused(name, learned, make):
    potential = learned(name)[-1]
    with pytest.raises(ValueError, match="26"):
        potential.evaluate(START[None], np.array([26, 1, 1]), *OPEN)
    data = training_set(4)
    strange = replace(data.samples[0].structure, numbers=np.array([26, 1, 1]))
    with pytest.raises(ValueError, match="26"):
        make().start(TrainingSet((replace(data.samples[0], structure=strange), *data.samples[1:]), data.species))


def test_a_fit_leaves_its_model_alone_and_learns(name, make, tmp_path):
    learner, data = make(), training_set(20)
    start = learner.start(data)
    before = files(learner, start, tmp_path / "before")
    first, report = learner.fit(start, data, budget(30))
    assert files(learner, start, tmp_path / "after") == before
    assert files(learner, first, tmp_path / "first") != before
    assert report.steps == 30
    assert report.errors.keys() == {"rmse_energy_meV_per_atom", "rmse_force_eV_per_A"}


def test_a_resumed_model_goes_on_as_if_nothing_had_been(name, make, tmp_path):
    learner, data = make(), training_set(20)
    model, _ = learner.fit(learner.start(data), data, budget(20))
    once, _ = learner.fit(model, data, budget(10))
    fresh = make()
    again, _ = fresh.fit(fresh.restore(learner.dump(model)), data, budget(10))
    assert files(fresh, fresh.restore(learner.dump(model)), tmp_path / "restored") == files(learner, model, tmp_path / "model")
    assert files(fresh, again, tmp_path / "again") == files(learner, once, tmp_path / "once")


def test_a_stop_ends_the_fit_at_once(name, make):
    learner, data = make(), training_set(20)
    _, report = learner.fit(learner.start(data), data, budget(1000, iter([False] * 4 + [True]).__next__))
    assert report.steps == 5


def test_labels_that_are_no_numbers_are_an_error(name, make):
    learner, data = make(), training_set(20)
    start = learner.start(data)
    wrong = replace(data.samples[3], key=b"wrong", forces=np.full((3, 3), np.nan))
    with pytest.raises(LearnFailed):
        learner.fit(start, TrainingSet((*data.samples, wrong), data.species), budget(20))
