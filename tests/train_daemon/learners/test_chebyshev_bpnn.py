"""The learner on a toy molecule with exact labels: it learns, goes on from where it was, and exports what it has learned."""

from dataclasses import replace

import numpy as np
import pytest

from kernels.potentials import bpnn
from kernels.potentials.base import load
from protocol.errors import LearnFailed
from train_daemon.dataset import TrainingSet
from train_daemon.gate import evaluate
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext
from train_daemon.normalisation import normalisation, remapped

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
    first, report = learner.fit(start, data, budget(250))
    second, _ = learner.fit(first, data, budget(750))
    spread = np.sqrt(np.mean([sample.forces**2 for sample in other]))
    at = [errors(learner, model, other, tmp_path / str(k)) for k, model in enumerate((start, first, second))]
    assert report.steps == 250
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
    network = remapped(model.network, normalisation(library, members, None, False))
    moved = chebyshev_bpnn.Model((network,), 80, 1)
    assert errors(learner, moved, data.samples, tmp_path / "new") == pytest.approx(
        errors(learner, model, data.samples, tmp_path / "old"), rel=1e-9
    )


def test_an_element_that_comes_later_begins_at_its_reference_energy(make_training_set, tmp_path):
    """Molecules of hydrogen alone, then water too: what was learned stays, and the new element is learned at once."""
    water = make_training_set(40)
    pairs = [replace(s, key=s.key + b"H", structure=_hydrogen(s.structure), forces=0 * s.forces[1:]) for s in water.samples]
    pairs = [replace(s, energy=-31.0) for s in pairs]
    learner = built()
    first, _ = learner.fit(learner.start(TrainingSet(tuple(pairs), (1, 8))), TrainingSet(tuple(pairs), (1, 8)), budget(50))
    both = TrainingSet((*pairs, *water.samples[:10]), (1, 8))
    second, _ = learner.fit(first, both, budget(400))
    assert not first.network.scale[1].any()
    assert second.network.scale[1].any()
    assert errors(learner, second, water.samples[10:], tmp_path / "water")[0] < 0.6
    assert errors(learner, second, pairs, tmp_path / "pairs")[0] < 0.6


def _hydrogen(structure):
    return replace(structure, positions=structure.positions[1:], numbers=structure.numbers[1:])


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
    wrong = [replace(sample, energy=sample.energy + 5.0, weight=0.0) for sample in data.samples[20:]]
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


def blocked(data, steps=5):
    """The same samples as blocks of a chain."""
    return TrainingSet(
        tuple(replace(sample, block=("chain", "sim0", 0, k // steps)) for k, sample in enumerate(data.samples)),
        data.species,
    )


RECIPES = [
    {"loss": {"name": "deepmd"}, "ema": 0.9},
    {"loss": {"name": "alpha_mix", "alpha": 0.6}, "weight_decay": 0.01},
    {"loss": {"chain_weight": 10.0}, "patience_epochs": 60},
    {"polish_steps": 3, "committee": 2},
    {"augmentation": {"displacement_A": 0.01}, "ema": 0.9, "patience_epochs": 2, "committee": 2},
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_resumed_model_goes_on_as_if_nothing_had_been(make_training_set, recipe):
    learner, data = built(**recipe), blocked(make_training_set(20))
    model, _ = learner.fit(learner.start(data), data, budget(20))
    once, _ = learner.fit(model, data, budget(10))
    fresh = built(**recipe)
    again, _ = fresh.fit(fresh.restore(learner.dump(model)), data, budget(10))
    assert same(once, again)
    assert not same(once, model)


@pytest.mark.parametrize("recipe", [*RECIPES[:4], {"activation": "mtanh"}, {"activation": "twist"}], ids=str)
def test_every_recipe_learns(make_training_set, tmp_path, recipe):
    learner, data, other = built(**recipe), blocked(make_training_set(80)), make_training_set(30, seed=9).samples
    model, _ = learner.fit(learner.start(data), data, budget(400))
    spread = np.sqrt(np.mean([sample.forces**2 for sample in other]))
    assert errors(learner, model, other, tmp_path / "exported")[1] < 0.3 * spread


@pytest.mark.parametrize("recipe", [{"ema": 0.95}, {"patience_epochs": 50}, {"polish_steps": 2}, {}], ids=str)
def test_a_snapshot_is_what_would_leave_the_fit(make_training_set, recipe):
    learner, data, kept = built(batch=8, **recipe), blocked(make_training_set(40)), []
    watch = Budget(60, 1, never, [].append, lambda snapshot: kept.append(snapshot()))
    model, _ = learner.fit(learner.start(data), data, watch)
    assert same(kept[-1], model)
    assert kept[-1].fits == model.fits == 1


def test_the_average_leaves_a_fit(make_training_set):
    data = make_training_set(40)
    plain, averaged = (
        (learner := built(**recipe)).fit(learner.start(data), data, budget(30))[0] for recipe in ({}, {"ema": 0.9})
    )
    assert not same(plain, averaged)


def test_patience_ends_a_fit_and_the_best_weights_leave_it(make_training_set):
    rows, learner, data = [], built(batch=8, patience_epochs=4, learning_rate=0.1), blocked(make_training_set(40))
    _, report = learner.fit(learner.start(data), data, budget(4000, rows))
    assert report.steps < 4000
    assert all("validation_loss" in row for row in rows)


def test_without_a_second_block_nothing_is_watched(make_training_set):
    rows, learner, data = [], built(patience_epochs=1), blocked(make_training_set(20), steps=20)
    _, report = learner.fit(learner.start(data), data, budget(30, rows))
    assert report.steps == 30
    assert "validation_loss" not in rows[-1]


def test_polishing_lowers_the_loss_of_all_structures(make_training_set):
    data, rows = make_training_set(40), {0: [], 40: []}
    for steps, told in rows.items():
        learner = built(polish_steps=steps)
        learner.fit(learner.start(data), data, budget(200, told))
    assert rows[40][-2]["loss"] == rows[0][-1]["loss"]
    assert rows[40][-1]["loss"] < 0.5 * rows[0][-1]["loss"]
    assert rows[40][-1]["samples"] == 40


def test_a_polish_that_the_validation_side_dislikes_is_undone(make_training_set, monkeypatch):
    def spoil(differentiate, flat, members, steps, stop):
        flat.detach().fill_(9.0)

    monkeypatch.setattr("train_daemon.fit.polish", spoil)
    data, models = blocked(make_training_set(40)), []
    for steps in (0, 5):
        learner = built(patience_epochs=50, polish_steps=steps)
        models.append(learner.fit(learner.start(data), data, budget(40))[0])
    assert same(*models)


def test_a_committee_is_exported_as_the_mean_of_its_networks(make_training_set, tmp_path):
    rows, learner, data = [], built(committee=3), make_training_set(60)
    model, report = learner.fit(learner.start(data), data, budget(100, rows))
    (tmp_path / "files").mkdir()
    export = learner.export(model, tmp_path / "files")
    assert export.architecture["hidden"] == [36]
    together, _ = evaluate(load(export.format, tmp_path / "files", 0), data.samples)
    alone = np.array([evaluate(bpnn.Bpnn(network, 0), data.samples)[0] for network in model.networks])
    np.testing.assert_allclose(together, alone.mean(axis=0), rtol=1e-12)
    assert alone.std(axis=0).max() > 1e-3
    assert report.steps == 300
    assert {row["member"] for row in rows} == {0, 1, 2}


def test_a_stop_leaves_the_rest_of_a_committee_as_it_was(make_training_set):
    learner, data, asked = built(committee=3), make_training_set(20), []
    start = learner.start(data)

    def should_stop():
        asked.append(1)
        return len(asked) >= 4

    model, report = learner.fit(start, data, budget(1000, should_stop=should_stop))
    assert report.steps == 4
    changed = [new is not old for new, old in zip(model.networks, start.networks, strict=True)]
    assert changed == [True, False, False]


def test_copies_carry_the_forces_into_a_fit_on_energies_alone(make_training_set, tmp_path):
    data, other, found = make_training_set(10), make_training_set(40, seed=9).samples, {}
    for name, recipe in {"energies": {}, "copies": {"augmentation": {"displacement_A": 0.01, "weight": 0.3}}}.items():
        learner = built(loss={"name": "alpha_mix", "alpha": 0.0}, **recipe)
        model, _ = learner.fit(learner.start(data), data, budget(1000))
        found[name] = errors(learner, model, other, tmp_path / name)[1]
    assert found["copies"] < 0.95 * found["energies"]


def test_members_that_are_many_keep_their_order(make_training_set):
    learner, data = built(committee=11), make_training_set(10)
    start = learner.start(data)
    back = learner.restore(learner.dump(start))
    for one, other in zip(start.networks, back.networks, strict=True):
        np.testing.assert_array_equal(one.layers[0][0][0], other.layers[0][0][0])


def test_a_two_body_energy_lies_below_the_networks_from_the_first_fit_to_the_file(make_training_set, tmp_path):
    learner, data, other = built(baseline="pairs"), make_training_set(60), make_training_set(30, seed=9).samples
    start = learner.start(data)
    walls = start.network.baseline.repulsion
    assert walls[0].min() > 0
    assert walls[1, 1] == 0  # there is one O in the molecule
    model, _ = learner.fit(start, data, budget(300))
    assert errors(learner, model, other, tmp_path / "new")[1] < 0.3 * errors(learner, start, other, tmp_path / "old")[1]
    np.testing.assert_array_equal(bpnn.read(tmp_path / "new").baseline.repulsion, walls)
    many, _ = learner.fit(model, make_training_set(240, seed=4), budget(1))  # a new normalisation
    assert many.normalised_on == 240
    np.testing.assert_array_equal(many.network.baseline.repulsion, walls)
    once, _ = learner.fit(model, data, budget(10))
    again, _ = built(baseline="pairs").fit(built(baseline="pairs").restore(learner.dump(model)), data, budget(10))
    assert same(once, again)
    # two atoms pushed together: the network has seen nothing of it, the wall holds
    structure = other[0].structure
    near = structure.positions.copy()
    near[1] = near[0] + 0.45 * (near[1] - near[0])
    potential = load("bpnn", tmp_path / "new", 0)
    energies = [
        potential.evaluate(x[None], structure.numbers, structure.cell, structure.pbc).energy[0]
        for x in (structure.positions, near)
    ]
    assert energies[1] > energies[0] + 5


def test_shared_networks_differ_in_their_first_and_last_biases_alone(make_training_set, tmp_path):
    learner, data = built(networks="shared", hidden=(8, 6)), make_training_set(20)
    model, _ = learner.fit(learner.start(data), data, budget(60))
    model, _ = learner.fit(model, make_training_set(90, seed=5, width=0.1), budget(60))  # normalised anew
    one, other = model.network.layers
    for number, (mine, theirs) in enumerate(zip(one, other, strict=True)):
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-5, atol=1e-7, err_msg=str(number))
        assert (np.abs(mine[1] - theirs[1]).max() < 1e-6) == (number == 1)
    np.testing.assert_array_equal(model.network.scale[0], model.network.scale[1])
    held = make_training_set(30, seed=9).samples
    assert errors(learner, model, held, tmp_path / "m")[1] < 0.5 * np.sqrt(np.mean([sample.forces**2 for sample in held]))
