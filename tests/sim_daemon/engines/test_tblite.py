"""tblite: known energies, charge, spin, stress, failures."""

import dataclasses

import numpy as np
import pytest

from protocol.errors import BadSetting
from protocol.records import Structure
from sim_daemon.engines.base import LabelFailed, NotConverged
from sim_daemon.labelling import Guard, label_with_care


@pytest.mark.parametrize(
    ("name", "charge", "energy_eV"), [("water", 0, -137.976542), ("tetramer", 0, -553.066187), ("zundel", 1, -277.831883)]
)
def test_known_energies(name, charge, energy_eV, build, request):
    label = build("tblite", charge=charge).label(request.getfixturevalue(name))
    assert label.energy == pytest.approx(energy_eV, abs=2e-6)
    assert np.abs(label.forces).max() < 1e-3  # the structures are minima
    assert (label.charge, label.multiplicity, label.stress) == (charge, 1, None)


def test_methods_differ_and_multiplicity_counts(build, water):
    assert build("tblite", method="GFN1-xTB").label(water).energy == pytest.approx(-156.97, abs=0.02)
    singlet, triplet = build("tblite").label(water).energy, build("tblite", multiplicity=3).label(water).energy
    assert triplet - singlet > 3.0  # eV, the gap of water


@pytest.mark.parametrize(("charge", "multiplicity"), [(0, 2), (1, 1), (9, 2), (8, 1), (0, 11)])
def test_charge_and_multiplicity_that_do_not_fit_are_refused_before_the_library_aborts(charge, multiplicity, build, water):
    with pytest.raises(BadSetting, match="do not fit"):
        build("tblite", charge=charge, multiplicity=multiplicity).label(water)


def strained(structure, strain):
    map_ = np.eye(3) + strain
    return dataclasses.replace(structure, positions=structure.positions @ map_, cell=structure.cell @ map_)


def test_stress_is_the_derivative_of_the_energy_by_strain(build):
    cell = np.array([[4.0, 0, 0], [0.4, 4.4, 0], [0.2, -0.3, 4.8]])
    box = Structure(np.array([[0.0, 0, 0], [0.1, 1.1, 0.3]]), np.array([9, 9]), cell, np.ones(3, bool))
    engine = build("tblite", method="GFN1-xTB", accuracy=0.01)
    strain = np.array([[0.5, 0.2, -0.3], [0.2, -0.7, 0.1], [-0.3, 0.1, 1.0]])
    h = 2e-3
    slope = (engine.label(strained(box, h * strain)).energy - engine.label(strained(box, -h * strain)).energy) / (2 * h)
    stress = engine.label(box).stress
    assert np.sum(stress * strain) * np.linalg.det(cell) == pytest.approx(slope, rel=1e-3)
    assert np.allclose(stress, stress.T, atol=1e-10)


def stretched(water, distance_A):
    positions = water.positions.copy()
    bond = positions[1] - positions[0]
    positions[1] = positions[0] + distance_A * bond / np.linalg.norm(bond)
    return dataclasses.replace(water, positions=positions)


def test_a_cycle_that_is_cut_short_is_not_converged_and_the_second_rung_is_longer(build, water):
    engine = build("tblite", max_iterations=4)
    with pytest.raises(NotConverged, match="not converged in 4 cycles"):
        engine.label(water)
    assert engine.label(water, rung=1).energy == pytest.approx(-137.976542, abs=1e-5)
    done = label_with_care(build("tblite", max_iterations=1), water, 3, None)
    assert done.label is None
    assert done.refused is not None
    assert (done.calls, done.failures) == (4, 4)


@pytest.mark.parametrize("distance_A", [4.0, 5.0, 6.0])
def test_a_broken_bond_gets_a_label_from_some_rung(distance_A, build, water):
    done = label_with_care(build("tblite"), stretched(water, distance_A), 3, None)
    assert done.label is not None
    assert -132.0 < done.label.energy < -131.0


def test_a_collapsed_structure_is_refused_by_the_guard(build, water):
    near = water.positions.copy()
    near[1] = near[0] + [0, 0, 0.05]
    collapsed = dataclasses.replace(water, positions=near)
    done = label_with_care(build("tblite"), collapsed, 3, Guard(-137.98 / 3, 50.0, 1e9))
    assert done.label is None
    assert done.refused.startswith("guard: energy")


@pytest.mark.parametrize("first_H", [[np.nan, 0, 0], [0, 0, 0]])
def test_nonsense_is_a_failure_of_the_structure(first_H, build, water):
    positions = water.positions.copy()
    positions[1] = positions[0] + first_H
    with pytest.raises(LabelFailed, match="tblite"):
        build("tblite").label(dataclasses.replace(water, positions=positions))


def test_what_it_cannot_do_is_said(build, water, silicon):
    with pytest.raises(BadSetting, match="three directions"):
        build("tblite").label(dataclasses.replace(silicon, pbc=np.array([True, True, False])))
    with pytest.raises(BadSetting, match="elements"):
        build("tblite").label(dataclasses.replace(water, numbers=np.array([92, 1, 1])))
    with pytest.raises(BadSetting, match="ranks_per_engine"):
        build("tblite", ranks=2)
