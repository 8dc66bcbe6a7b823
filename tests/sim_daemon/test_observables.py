"""Pressure and stress of a ring against derivatives of its energy."""

import numpy as np
import pytest

from kernels.potentials.lennard_jones import LennardJones
from kernels.ring_polymer import ring_polymer
from kernels.units import GPA_PER_EV_A3, KB_EV_PER_K
from sim_daemon.moves.extended import virial_pressure
from sim_daemon.observables import COMPONENTS, observe_stress

KELVIN, BEADS = 80.0, 4
MASSES = np.array([4.0, 20.2, 20.2])
CELL = np.array([[6.0, 0.0, 0.0], [0.7, 6.3, 0.0], [-0.4, 0.5, 6.6]])
RING = ring_polymer(MASSES, KELVIN, BEADS, 300)
POTENTIAL = LennardJones(0.003, 2.8, 7.0)


def at(x, cell):
    return POTENTIAL.evaluate(x, np.full(3, 10), cell, np.ones(3, bool))


def ring_in_a_cell():
    rng = np.random.default_rng(3)
    return np.array([[0.2, 0.1, 0.3], [2.9, 0.4, 2.6], [0.5, 3.1, 2.8]]) + 0.1 * rng.standard_normal((BEADS, 3, 3))


def ring_energy(strain, springs):
    """Energy (eV) of the strained ring: of the centroids alone, or of all beads with their springs."""
    x, grown = ring_in_a_cell(), np.eye(3) + strain
    moved = x @ grown if springs else x + (x.mean(axis=0) @ strain)[None]
    stored = RING.spring_energy(RING.to_modes(moved)) if springs else 0.0
    return float(at(moved, CELL @ grown).energy.mean()) + stored


def slope(a, b, springs):
    """Of that energy with a symmetric strain, eV."""
    strain = np.zeros((3, 3))
    strain[a, b] += 0.5e-5
    strain[b, a] += 0.5e-5
    return (ring_energy(strain, springs) - ring_energy(-strain, springs)) / 2e-5


def test_numbers_are_derivatives_of_the_rings_energy():
    x, size = ring_in_a_cell(), np.linalg.det(CELL)
    value, thermal = at(x, CELL), 3 * KB_EV_PER_K * KELVIN
    told = observe_stress(RING, CELL, x, value.forces, value.stress)
    assert len(told) == 8
    for name, (a, b) in COMPONENTS.items():
        wanted = (slope(a, b, False) - thermal * (a == b)) / size * GPA_PER_EV_A3
        assert told[f"stress_{name}_GPa"] == pytest.approx(wanted, rel=1e-6, abs=1e-7)
    assert told["pressure_GPa"] == pytest.approx(-sum(told[f"stress_{n}_GPa"] for n in ("xx", "yy", "zz")) / 3, rel=1e-12)
    whole = BEADS * thermal - sum(slope(a, a, True) for a in range(3)) / 3
    assert told["pressure_primitive_GPa"] == pytest.approx(whole / size * GPA_PER_EV_A3, rel=1e-6)
    without_ideal = virial_pressure(x, value.forces, value.stress, CELL)
    assert told["pressure_GPa"] == pytest.approx((without_ideal + thermal / size) * GPA_PER_EV_A3, rel=1e-12)
    by_hand = -np.trace(value.stress, axis1=1, axis2=2).mean() / 3
    by_hand -= np.sum((x - x.mean(axis=0)) * value.forces) / BEADS / (3 * size)
    assert without_ideal == pytest.approx(by_hand, rel=1e-12)


def test_an_unknown_stress_gives_no_number():
    x = ring_in_a_cell()
    value = at(x, CELL)
    hole = value.stress.copy()
    hole[2] = np.nan
    assert observe_stress(RING, CELL, x, value.forces, hole) == {}
    assert observe_stress(RING, CELL, x, value.forces, None) == {}
