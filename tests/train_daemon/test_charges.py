"""Charges below the networks: what run.yaml may say of them, and an ionic crystal that is learned above them."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from kernels.ewald import PointCharges, evaluate
from kernels.neighbors.numba_cpu import pairs
from kernels.potentials import bpnn, kan
from kernels.potentials.base import load
from protocol.errors import BadSetting
from protocol.records import Structure
from protocol.settings import load_trainer
from renkei.plugins import PLUGINS
from train_daemon import charges
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.gate import evaluate as judge
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners import kan as kan_learner
from train_daemon.learners.base import Budget, LearnerContext

SMALL = {"radial": {"order": 8, "cutoff_A": 4.5}, "angular": {"order": 3, "cutoff_A": 3.5}, "hidden": (12,), "batch": 4}
IONS = {"charges": {"Na": 1.0, "Cl": -1.0}}
EDGE_A, CELLS = 5.64, 2
BASIS = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]]) / 2
LATTICE = EDGE_A * (np.indices((CELLS,) * 3).reshape(3, -1).T[:, None] + BASIS).reshape(-1, 3)
KINDS = np.tile(np.repeat([0, 1], 4), CELLS**3)
BOX = np.array([11, 17])[KINDS], CELLS * EDGE_A * np.eye(3), np.ones(3, bool)


def built(module=chebyshev_bpnn, **changes):
    return module.build(module.Settings(**{**SMALL, **changes}), LearnerContext("cpu", 1, seed=3))


def rock_salt(count, seed):
    """Sodium chloride with a random wave of its ions against each other, twice as long as the networks reach, and noise.

    Labels: narrow charges and a repulsion of nearest neighbours.
    """
    rng, samples = np.random.default_rng(seed), []
    for number in range(count):
        wave = np.cos(2 * np.pi * LATTICE @ rng.integers(0, 2, 3) / (CELLS * EDGE_A) + rng.uniform(0, 6))
        moves = np.outer(wave * np.where(KINDS == 0, 1, -1), rng.uniform(-0.15, 0.15, 3))
        positions = LATTICE + moves + 0.08 * rng.standard_normal(LATTICE.shape)
        found = pairs(positions, *BOX[1:], 4.5)
        wall = 1300 * np.exp(-found.distance / 0.32)
        coulomb = evaluate(PointCharges(np.array([1.0, -1.0]), 0.3), positions[None], KINDS, *BOX[1:])
        forces = coulomb.forces[0].copy()
        np.add.at(forces, found.first, -(wall / 0.32 / found.distance)[:, None] * found.vector)
        structure = Structure(positions, *BOX)
        samples.append(Sample(f"{seed}/{number}".encode(), structure, coulomb.energy[0] + wall.sum() / 2, forces, 1.0))
    return TrainingSet(tuple(samples), (11, 17))


def fitted(learner, data, steps):
    model, _ = learner.fit(learner.start(data), data, Budget(steps, 1, lambda: False, lambda row: None))
    return model


def exported(learner, model, folder):
    folder.mkdir()
    export = learner.export(model, folder)
    return export, load(export.format, folder, 0)


def errors(potential, samples):
    """RMSE of energies (eV) and of forces (eV/A)."""
    energies, forces = judge(potential, samples)
    off = np.array(energies) - [sample.energy for sample in samples]
    return np.sqrt(np.mean(off**2)), np.sqrt(np.mean([(f - s.forces) ** 2 for f, s in zip(forces, samples, strict=True)]))


def test_an_ionic_crystal_is_learned_better_above_its_charges(tmp_path):
    data, other, found = rock_salt(16, 0), rock_salt(8, 1).samples, {}
    for name, changes in {"short": {}, "charged": IONS}.items():
        learner = built(**changes)
        found[name] = errors(exported(learner, fitted(learner, data, 800), tmp_path / name)[1], other)
    assert found["charged"][0] < 0.6 * found["short"][0]
    assert found["charged"][1] < 0.6 * found["short"][1]


@pytest.mark.parametrize("module", [chebyshev_bpnn, kan_learner])
def test_charges_and_walls_lie_below_the_networks_from_the_first_fit_to_the_file(module, tmp_path):
    """Networks of 0 above the charges have the forces of the charges; the rest is what is learned."""
    changes = {**IONS, "charge_width_A": 0.8, "baseline": "pairs", "committee": 2}
    learner, data = built(module, **changes), rock_salt(4, 0)
    model = fitted(learner, data, 10)
    assert model.network.charges.width_A == 0.8
    export, potential = exported(learner, model, tmp_path / "new")
    assert export.cutoff_A == potential.cutoff == 0.0
    assert (export.architecture["charges"], export.architecture["charge_width_A"]) == (IONS["charges"], 0.8)
    assert np.array_equal(potential.model.charges.charges, [1.0, -1.0])
    assert potential.model.baseline.repulsion[0, 1] > 0
    fresh = built(module, **changes)
    again = fresh.restore(learner.dump(model))
    exported(fresh, again, tmp_path / "again")
    assert (tmp_path / "again" / bpnn.FILE).read_bytes() == (tmp_path / "new" / bpnn.FILE).read_bytes()
    kind = {bpnn.Bpnn: bpnn.Bpnn, kan.Kan: kan.Kan}[type(potential)]
    bare = kind(replace(potential.model, charges=None), 0)
    library, members = learner._kept(data)
    taken = library.above(None)[1].reshape(len(members), -1, 3)
    for place, sample in enumerate(data.samples):
        whole, network = (one.evaluate(sample.structure.positions[None], *BOX).forces[0] for one in (potential, bare))
        assert np.allclose(whole - network, sample.forces - taken[place], atol=1e-9)


def test_a_learner_with_charges_sees_what_they_leave():
    """Normalisation and walls are those of a learner without charges that is given labels without their share."""
    data, own, left = rock_salt(4, 0), PointCharges(np.array([1.0, -1.0]), 1.0), []
    for sample in data.samples:
        share = evaluate(own, sample.structure.positions[None], KINDS, *BOX[1:])
        left.append(replace(sample, energy=sample.energy - share.energy[0], forces=sample.forces - share.forces[0]))
    above, alone = built(**IONS, baseline="pairs").start(data), built(baseline="pairs").start(TrainingSet(tuple(left), (11, 17)))
    bare = built(baseline="pairs").start(data).network
    for name in ("energy_scale_eV", "reference_eV"):
        mine, other, plain = (getattr(model, name) for model in (above.network, alone.network, bare))
        assert np.allclose(mine, other, rtol=1e-10)
        assert not np.allclose(mine, plain, rtol=1e-2)
    assert np.allclose(above.network.baseline.repulsion, alone.network.baseline.repulsion, rtol=1e-8)
    assert not np.allclose(above.network.baseline.repulsion, bare.baseline.repulsion, rtol=1e-2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{O: -0.8, Hh: 0.4}", "there is no element called 'Hh'"),
        ("{O: -0.8, H: much}", "charges.H: must be a number"),
        ("{O: -80.0}", "charges.O: must be >= -20"),
        ("{}", "charges: must give each element its charge, or be none"),
        ("some", "charges: must be 'none', got 'some'"),
        ("3", "charges: must be a section of keys, got 3"),
    ],
)
def test_what_run_yaml_may_not_say(text, said):
    with pytest.raises(BadSetting) as caught:
        load_trainer(None, {"learner": PLUGINS["learner"]}, [f"learner.charges={text}"])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [0.0, 0.01, 6.0, float("nan"), True])
def test_widths_that_make_no_sense(width):
    with pytest.raises(ValidationError):
        chebyshev_bpnn.Settings(charge_width_A=width)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"Na": 1.0}, "learner.charges: Cl has no charge; write Cl: 0.0 if it is neutral"),
        ({"Na": 1.0, "Cl": -1.0, "K": 1.0}, "learner.charges: there is no K in what is learned; leave it out"),
    ],
)
def test_every_species_has_a_charge_and_nothing_else(given, said):
    with pytest.raises(BadSetting) as caught:
        built(charges=given).start(rock_salt(2, 0))
    assert str(caught.value) == said
    with pytest.raises(BadSetting):
        charges.check(chebyshev_bpnn.Settings(charges=given), *BOX[::2])


def test_a_slab_is_refused_in_a_sentence():
    data, slab = rock_salt(2, 0), np.array([True, True, False])
    structure = replace(data.samples[0].structure, pbc=slab)
    samples = (replace(data.samples[0], structure=structure), data.samples[1])
    with pytest.raises(BadSetting, match=r"learner\.charges: charges need .* this one is in 2; write charges: none"):
        built(**IONS).start(TrainingSet(samples, data.species))
    settings = chebyshev_bpnn.Settings(**IONS)
    with pytest.raises(BadSetting, match="in 2"):
        charges.check(settings, BOX[0], slab)
    charges.check(settings, BOX[0], np.zeros(3, bool))
    charges.check(chebyshev_bpnn.Settings(), BOX[0], slab)
    charges.check(object(), BOX[0], slab)  # a learner of a stranger, which knows no charges
