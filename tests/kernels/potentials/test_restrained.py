import numpy as np
import pytest

from kernels.potentials.harmonic import build
from kernels.potentials.restrained import Restrained, restraint

REST = np.ones(4), np.zeros((3, 3)), np.zeros(3, bool)


def test_by_hand():
    """Centre (0, 0, 0); one pair 1 A outside of R = 2: V = 2 * k/2 * 1^2 = k."""
    positions = np.array([[[3.0, 0, 0], [-3, 0, 0], [0, 1, 0], [0, -1, 0]]])
    energy, forces = restraint(positions, 2.0, 1.5)
    assert energy[0] == pytest.approx(1.5)
    assert np.allclose(forces[0], [[-1.5, 0, 0], [1.5, 0, 0], [0, 0, 0], [0, 0, 0]])


def test_nothing_inside():
    positions = np.random.default_rng(0).uniform(-1, 1, (3, 4, 3)) + np.array([50, 0, 0])
    energy, forces = restraint(positions, 3.6, 1.0)
    assert not energy.any()
    assert not forces.any()


def test_forces_are_minus_the_gradient_and_sum_to_zero():
    place = np.random.default_rng(1).normal(size=(4, 3)) * 3 + 7
    steps = 1e-5 * np.eye(12).reshape(12, 4, 3)
    slope = (restraint(place + steps, 2.0, 0.8)[0] - restraint(place - steps, 2.0, 0.8)[0]) / 2e-5
    energy, forces = restraint(place[None], 2.0, 0.8)
    assert energy[0] > 0.5
    assert forces.ravel() == pytest.approx(-slope, rel=1e-7, abs=1e-9)
    assert np.allclose(forces.sum(axis=1), 0, atol=1e-13)
    moved = restraint(place[None] + np.array([3, -8, 1]), 2.0, 0.8)
    assert np.allclose(moved[1], forces, atol=1e-12)


def test_sum_of_both_and_each_structure_alone():
    potential = Restrained(build({"k_eV_per_A2": 0.4, "centres": np.zeros((4, 3))}), 2.0, 0.8)
    positions = np.random.default_rng(2).normal(size=(5, 4, 3)) * 3
    together = potential.evaluate(positions, *REST)
    inner, extra = potential.potential.evaluate(positions, *REST), restraint(positions, 2.0, 0.8)
    assert np.array_equal(together.energy, inner.energy + extra[0])
    assert np.array_equal(together.forces, inner.forces + extra[1])
    assert (potential.species, potential.cutoff, potential.generation) == ((), 0.0, -1)
    for b in range(5):
        alone = potential.evaluate(positions[b : b + 1], *REST)
        assert together.energy[b] == alone.energy[0]
        assert np.array_equal(together.forces[b], alone.forces[0])


def test_not_a_number_comes_out_as_such():
    positions = np.zeros((1, 4, 3))
    positions[0, 0, 0] = np.nan
    assert np.isnan(restraint(positions, 2.0, 0.8)[0]).all()
