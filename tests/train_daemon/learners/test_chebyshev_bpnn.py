"""The learner on a toy molecule with exact labels: it learns, goes on from where it was, and exports what it has learned."""

import numpy as np
import pytest

from kernels.potentials.base import load
from protocol.errors import LearnFailed
from train_daemon.dataset import TrainingSet
from train_daemon.gate import evaluate
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext

SMALL = {"radial": {"order": 6, "cutoff_A": 4.0}, "angular": {"order": 3, "cutoff_A": 3.5}, "hidden": (12,)}
CONTEXT = LearnerContext("cpu", 1, seed=3)


def never():
    return False


def built(**changes):
    return chebyshev_bpnn.build(chebyshev_bpnn.Settings(**{**SMALL, **changes}), CONTEXT)


def budget(steps, rows=None, should_stop=never):
    return Budget(steps, 1, should_stop, (rows if rows is not None else []).append)


def errors(learner, model, samples, folder):
    """RMSE of energies (eV) and forces (eV/A) of the exported files."""
    folder.mkdir()
    export = learner.export(model, folder)
    energies, forces = evaluate(load(export.format, folder, 0), samples)
    off = energies - np.array([sample.energy for sample in samples])
    return np.sqrt(np.mean(off**2)), np.sqrt(np.mean([(f - s.forces) ** 2 for f, s in zip(forces, samples, strict=True)]))


def same(one, other):
    pairs = zip(one.network.layers, other.network.layers, strict=True)
    return all(
        np.array_equal(a, b)
        for mine, theirs in pairs
        for first, second in zip(mine, theirs, strict=True)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
def test_it_learns_and_a_warm_start_improves(make_training_set, tmp_path, family):
    learner, data, other = built(family=family), make_training_set(120), make_training_set(30, seed=9).samples
    start = learner.start(data)
    first, report = learner.fit(start, data, budget(500))
    second, _ = learner.fit(first, data, budget(500))
    spread = np.sqrt(np.mean([sample.forces**2 for sample in other]))
    at = [errors(learner, model, other, tmp_path / str(k)) for k, model in enumerate((start, first, second))]
    assert report.steps == 500
    assert at[0][1] > 0.5 * spread
    assert at[1][1] < 0.2 * spread
    assert at[2][1] < 0.8 * at[1][1]
    assert at[2][0] < 0.05


def test_a_fit_is_a_function_of_its_arguments_and_leaves_its_model_alone(make_training_set):
    learner, data = built(), make_training_set(20)
    start = learner.start(data)
    first, _ = learner.fit(start, data, budget(30))
    again, _ = learner.fit(start, data, budget(30))
    assert same(first, again)
    assert same(start, learner.start(data))
    assert not same(start, first)


def test_normalisation_is_kept_until_the_data_have_grown_fourfold(make_training_set, tmp_path):
    learner, data, more, many = built(), make_training_set(20), make_training_set(79), make_training_set(80, width=0.1)
    model, _ = learner.fit(learner.start(data), data, budget(40))
    kept, _ = learner.fit(model, more, budget(1))
    assert kept.network.mean is model.network.mean
    assert kept.normalised_on == 20
    fresh, _ = learner.fit(model, many, budget(1))
    assert fresh.normalised_on == 80
    assert not np.array_equal(fresh.network.mean, model.network.mean)


def test_renormalising_does_not_change_the_function(make_training_set, tmp_path):
    learner, data, many = built(), make_training_set(20), make_training_set(80, seed=5, width=0.1)
    model, _ = learner.fit(learner.start(data), data, budget(40))
    library, members = learner._kept(many)
    network = chebyshev_bpnn.remapped(model.network, chebyshev_bpnn._normalisation(library, members))
    moved = chebyshev_bpnn.Model(network, 80, 1)
    assert errors(learner, moved, data.samples, tmp_path / "new") == pytest.approx(
        errors(learner, model, data.samples, tmp_path / "old"), rel=1e-9
    )


def test_dump_and_restore_give_the_same_model(make_training_set):
    learner, data = built(), make_training_set(20)
    model, _ = learner.fit(learner.start(data), data, budget(20))
    back = built().restore(learner.dump(model))
    assert same(back, model)
    assert (back.fits, back.normalised_on) == (1, 20)
    once, _ = learner.fit(model, data, budget(10))
    again, _ = built().fit(back, data, budget(10))
    assert same(once, again)


def test_a_stop_ends_the_fit_at_once_and_rows_say_how_it_went(make_training_set):
    learner, data, rows, asked = built(batch=8), make_training_set(20), [], []

    def should_stop():
        asked.append(1)
        return len(asked) == 5

    _, report = learner.fit(learner.start(data), data, budget(1000, rows, should_stop))
    assert (report.steps, report.epochs) == (5, 2)
    assert rows[-1]["step"] == 5
    assert set(rows[-1]) >= {
        "epoch",
        "loss",
        "rmse_energy_meV_per_atom",
        "rmse_force_eV_per_A",
        "learning_rate",
        "samples",
        "seconds",
    }


def test_epochs_count_at_least(make_training_set):
    learner, data = built(batch=8), make_training_set(20)
    _, report = learner.fit(learner.start(data), data, Budget(1, 4, never, [].append))
    assert (report.steps, report.epochs) == (12, 4)


def test_weights_of_zero_are_not_learned(make_training_set):
    data = make_training_set(40)
    wrong = [chebyshev_bpnn.replace(sample, energy=sample.energy + 5.0, weight=0.0) for sample in data.samples[20:]]
    mixed = TrainingSet(data.samples[:20] + tuple(wrong), data.species)
    learner = built()
    start = learner.start(TrainingSet(data.samples[:20], data.species))
    _, report = learner.fit(start, mixed, budget(300))
    assert report.errors["rmse_energy_meV_per_atom"] > 500.0  # the wrong half stays wrong


def test_a_loss_that_is_not_finite_is_an_error(make_training_set):
    data = make_training_set(20)
    data.samples[3].forces[0, 0] = np.nan
    learner = built()
    start = learner.start(make_training_set(20, seed=4))
    with pytest.raises(LearnFailed, match="not a finite number"):
        learner.fit(start, data, budget(20))
