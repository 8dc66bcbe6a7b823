"""Virials from files to the fit: their sign through ASE, and what a term in the loss does to them."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from kernels.potentials.base import load
from kernels.potentials.lennard_jones import LennardJones
from renkei.labels import frames as labelled
from renkei.labels import parity
from renkei.training.fit import training_set
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext

ARGON = {"epsilon_eV": 0.5, "sigma_A": 2.3}  # stiffer than argon: stresses of some GPa
CUTOFF_A = 3.9
SMALL = {"radial": {"order": 8, "cutoff_A": CUTOFF_A}, "angular": {"order": 2, "cutoff_A": 2.9}, "hidden": (8,)}


def crystals(count, seed):
    """Strained and rattled face-centred cells of four atoms, labelled by ASE."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        atoms = bulk("Ar", "fcc", a=3.7, cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(0, 0.06, atoms.positions.shape)
        calculator = AseLennardJones(epsilon=ARGON["epsilon_eV"], sigma=ARGON["sigma_A"], rc=CUTOFF_A)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=calculator.get_potential_energy(atoms),
            forces=calculator.get_forces(atoms),
            stress=calculator.get_stress(atoms),
        )
        made.append(atoms)
    return made


@pytest.mark.parametrize("key", ["stress", "virial"])
def test_the_sign_is_that_of_our_potentials_and_of_the_energy(tmp_path, key):
    atoms, path = crystals(1, 0)[0], tmp_path / "one.extxyz"
    if key == "virial":
        results = atoms.calc.results
        atoms.info["virial"] = -atoms.get_stress(voigt=False) * atoms.get_volume()
        atoms.calc = SinglePointCalculator(atoms, energy=results["energy"], forces=results["forces"])
    write(path, atoms)
    assert f"{key}=" in path.read_text()
    found = labelled.read([path])
    [sample] = training_set(found, (18,)).samples
    ours, s = LennardJones(**ARGON, cutoff=CUTOFF_A), sample.structure
    told = ours.evaluate(s.positions[None], s.numbers, s.cell, s.pbc)
    assert np.abs(sample.virial).max() > 1.0
    np.testing.assert_allclose(sample.virial, -told.stress[0] * atoms.get_volume(), atol=1e-5)
    wider = np.eye(3) * np.array([1 + 1e-5, 1, 1])
    ends = [
        ours.evaluate((s.positions @ turn)[None], s.numbers, s.cell @ turn, s.pbc).energy[0]
        for turn in (wider, np.linalg.inv(wider))
    ]
    assert sample.virial[0, 0] == pytest.approx(-(ends[0] - ends[1]) / 2e-5, rel=1e-4)


def test_frames_without_a_stress_have_no_virial(xyz, molecules):
    found = labelled.read([xyz(molecules(2))])
    assert [sample.virial for sample in training_set(found, (1, 8)).samples] == [None, None]


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("crystals"), []
    for name, count, seed in (("training", 16, 1), ("test", 24, 2)):
        write(folder / f"{name}.extxyz", crystals(count, seed))
        made.append(labelled.read([folder / f"{name}.extxyz"]))
    return made


def fitted(sides, loss, folder):
    """Stress error (eV/A^3) on frames that were not trained on, and the learner's rows."""
    training, test = sides
    learner = chebyshev_bpnn.build(chebyshev_bpnn.Settings(**SMALL, batch=8, loss=loss), LearnerContext("cpu", 1, 4))
    data, rows = training_set(training, (18,)), []
    model, report = learner.fit(learner.start(data), data, Budget(400, 1, lambda: False, rows.append))
    folder.mkdir()
    export = learner.export(model, folder)
    errors = parity.errors(test, parity.predict(load(export.format, folder, 0), test))
    return errors["stress_rmse_eV_per_A3"], [*rows, report.errors]


@pytest.mark.parametrize(
    ("plain", "with_virial"),
    [
        ({"name": "alpha_mix"}, {"beta": 1.0}),
        ({"name": "weighted"}, {"virial_weight": 10.0}),
        ({"name": "deepmd"}, {"virial_prefactor": (100.0, 10.0)}),
    ],
    ids=lambda given: given.get("name", ""),
)
def test_a_virial_term_lowers_the_error_of_the_stress(sides, tmp_path, plain, with_virial):
    without, before = fitted(sides, plain, tmp_path / "without")
    trained, after = fitted(sides, plain | with_virial, tmp_path / "with")
    assert trained < 0.7 * without
    assert after[-1]["rmse_virial_meV_per_atom"] < 0.7 * before[-1]["rmse_virial_meV_per_atom"]
