"""PySCF: known energies, spin, failures."""

import dataclasses

import numpy as np
import pytest

from protocol.errors import BadSetting
from sim_daemon.engines.base import LabelFailed, NotConverged
from sim_daemon.labelling import label_with_care

HARTREE_EV = 27.211386245988


def at(structure, positions, numbers):
    return dataclasses.replace(structure, positions=np.array(positions, float), numbers=np.array(numbers))


def test_hydrogen_atom_and_molecule_near_the_basis_limit(build, water):
    atom = build("pyscf", multiplicity=2, method="HF", basis="def2-QZVP", density_fitting=False)
    assert atom.label(at(water, [[0, 0, 0]], [1])).energy / HARTREE_EV == pytest.approx(-0.5, abs=5e-5)
    molecule = build("pyscf", method="HF", basis="def2-QZVP", density_fitting=False)
    energy = molecule.label(at(water, [[0, 0, 0], [0, 0, 0.7414]], [1, 1])).energy / HARTREE_EV
    assert energy == pytest.approx(-1.1336, abs=2e-4)  # Hartree-Fock limit at the experimental bond length


def test_a_functional_and_its_forces(build, water):
    engine = build("pyscf", method="PBE", basis="def2-SVP")
    label = engine.label(water)
    assert label.stress is None
    assert label.energy / HARTREE_EV == pytest.approx(-76.27, abs=0.01)
    assert np.abs(label.forces.sum(axis=0)).max() < 1e-8  # the grid moves with the atoms


def test_the_second_rung_reaches_what_the_first_misses(build, water):
    engine = build("pyscf", method="HF", basis="STO-3G", max_iterations=3)
    with pytest.raises(NotConverged):
        engine.label(water)
    reference = build("pyscf", method="HF", basis="STO-3G").label(water).energy
    done = label_with_care(engine, water, 3, None)
    assert (done.calls, done.failures) == (2, 1)
    assert done.label.energy == pytest.approx(reference, abs=1e-6)


def test_overlapping_atoms_are_a_failure_of_the_structure(build, water):
    with pytest.raises(LabelFailed, match="PySCF"):
        build("pyscf", method="HF").label(at(water, [[0, 0, 0], [0, 0, 0], [0, 0, 1]], [8, 1, 1]))


def test_what_it_cannot_do_is_said(build, water, silicon):
    with pytest.raises(BadSetting, match="periodic"):
        build("pyscf").label(silicon)
    with pytest.raises(BadSetting, match="functional"):
        build("pyscf", method="nonsense")
    with pytest.raises(BadSetting, match="basis"):
        build("pyscf", basis="nonsense").label(water)
    with pytest.raises(BadSetting, match="unrestricted"):
        build("pyscf", method="RHF", multiplicity=3)
    with pytest.raises(BadSetting, match="do not fit"):
        build("pyscf", charge=1).label(water)
    with pytest.raises(BadSetting, match="ranks_per_engine"):
        build("pyscf", ranks=2)
