"""What kan does that other learners do not; the rest is in tests/contracts/test_every_learner.py."""

import numpy as np
import pytest
from pydantic import ValidationError

from kernels import folding, kan_model
from kernels.descriptors.numba_cpu import values
from kernels.potentials.base import load
from train_daemon.gate import evaluate
from train_daemon.learners import kan
from train_daemon.learners.base import Budget, LearnerContext

SMALL = {"radial": {"order": 6, "cutoff_A": 4.0}, "angular": {"order": 3, "cutoff_A": 3.5}, "functions": 10, "hidden": (8,)}


def built(**changes):
    return kan.build(kan.Settings(**{**SMALL, **changes}), LearnerContext("cpu", 1, seed=3))


def budget(steps):
    return Budget(steps, 1, lambda: False, lambda row: None)


def force_error(learner, model, samples, folder):
    folder.mkdir()
    export = learner.export(model, folder)
    _, forces = evaluate(load(export.format, folder, 0), samples)
    return np.sqrt(np.mean([(found - one.forces) ** 2 for found, one in zip(forces, samples, strict=True)]))


SPLINES = {"basis": "bspline", "radial": {"intervals": 10, "cutoff_A": 4.0}, "angular": {"intervals": 6, "cutoff_A": 3.5}}
BOTH = {"order": 3, "cutoff_A": 3.5, "powers": (1, 3)}


@pytest.mark.parametrize("changes", [{}, {"hidden": ()}, {"angular": BOTH}, SPLINES], ids=str)
def test_it_learns(make_training_set, tmp_path, changes):
    learner, data, other = built(**changes), make_training_set(80), make_training_set(30, seed=9).samples
    start = learner.start(data)
    model, _ = learner.fit(start, data, budget(400))
    spread = np.sqrt(np.mean([one.forces**2 for one in other]))
    assert force_error(learner, start, other, tmp_path / "start") > 0.5 * spread
    assert force_error(learner, model, other, tmp_path / "model") < 0.3 * spread


def test_the_file_has_the_functions_that_were_asked_for(make_training_set, tmp_path):
    learner, data = built(intervals=20, committee=2, baseline="pairs"), make_training_set(10)
    model, _ = learner.fit(learner.start(data), data, budget(20))
    export = learner.export(model, tmp_path)
    read = kan_model.read(tmp_path)
    assert read.radial.shape == (2, 2, 23, 20)
    assert read.angular.shape == (2, 1, 3, 23, 20)
    assert [matrix.shape for matrix, _ in read.layers[0]] == [(16, 20), (1, 16)]
    assert read.baseline is not None
    assert export.architecture["functions"] == 20
    assert export.architecture["hidden"] == [16]
    np.testing.assert_array_equal(read.radial, folding.fold(model.network, 20).radial)


def test_splines_of_the_default_number_lose_nothing_that_was_learned(make_training_set, tmp_path):
    found, data = {}, make_training_set(20)
    for intervals in (kan.Settings().intervals, folding.INTERVALS):
        learner = built(intervals=intervals)
        model, _ = learner.fit(learner.start(data), data, budget(100))
        (tmp_path / str(intervals)).mkdir()
        learner.export(model, tmp_path / str(intervals))
        found[intervals] = np.array(evaluate(load("kan", tmp_path / str(intervals), 0), data.samples)[1])
    few, many = found.values()
    assert np.abs(few - many).max() < 1e-5 * np.abs(many).max()
    assert not np.array_equal(few, many)


def test_trained_splines_leave_as_they_are(make_training_set, tmp_path):
    """What the trainer itself makes of features and layers is what the file gives."""
    learner, data = built(**SPLINES, committee=2, baseline="pairs"), make_training_set(10)
    model, _ = learner.fit(learner.start(data), data, budget(60))
    export = learner.export(model, tmp_path)
    read, network = kan_model.read(tmp_path), model.network
    assert (read.radial.shape, read.angular.shape) == ((2, 2, 13, 20), (2, 1, 3, 9, 20))
    assert export.architecture["radial"] == {"intervals": 10, "cutoff_A": 4.0}
    assert "intervals" not in export.architecture
    library, wanted = learner._library, []
    boxes = ((s.positions[None], s.numbers, s.cell, s.pbc) for s in (sample.structure for sample in data.samples))
    features = np.concatenate([values(network.descriptor, *box)[0] for box in boxes])
    inputs = (features - network.mean[library.kinds]) * network.scale[library.kinds]
    for place, kind in enumerate(library.kinds):
        value = inputs[place]
        for matrix, bias in network.layers[kind][:-1]:
            value = np.tanh(matrix @ value + bias)
        (matrix, bias) = network.layers[kind][-1]
        wanted.append(network.energy_scale_eV * (matrix @ value + bias)[0] + network.reference_eV[kind])
    walls = library.energies - library.above(network.baseline)[0]
    energies, _ = evaluate(load("kan", tmp_path, 0), data.samples)
    np.testing.assert_allclose(energies, np.reshape(wanted, (10, 3)).sum(axis=1) + walls, rtol=1e-10)


def test_one_spread_for_all_splines_of_a_channel(make_training_set):
    """Those that no atom sees have none of their own."""
    learner, data = built(**SPLINES), make_training_set(10)
    network = learner.start(data).network
    assert (network.scale[0][:13] == network.scale[0][0]).all()
    assert (network.scale[0][26:35] == network.scale[0][26]).all()
    assert not learner._library.features[:, 12].any()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"radial": {"intervals": 9}}, "radial.intervals means nothing with the basis chebyshev"),
        ({"basis": "bspline", "angular": {"order": 9}}, "angular.order means nothing with the basis bspline"),
        ({"basis": "bspline", "intervals": 64}, "intervals means nothing with the basis bspline"),
    ],
)
def test_keys_of_the_other_basis_are_refused(settings, word):
    with pytest.raises(ValidationError, match=word):
        kan.Settings(**settings)
