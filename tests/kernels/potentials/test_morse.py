import numpy as np
import pytest

from kernels.potentials.morse import build

REST = np.ones(2), np.zeros((3, 3)), np.zeros(3, bool)
WELL = {"depth_eV": 4.0, "width_per_A": 2.0, "distance_A": 0.9, "centres": [[0, 0, 0], [0, 0, 5]]}


def test_bottom_curvature_and_depth():
    positions = np.array([[[0.9, 0, 0], [0, 0, 5.9]], [[0, 0.901, 0], [0, 0, 5.9]], [[0, 1e3, 0], [0, 0, 5.9]]])
    energy = build(WELL).evaluate(positions, *REST).energy
    assert energy[0] == pytest.approx(0, abs=1e-20)
    assert energy[1] == pytest.approx(4.0 * 2.0**2 * 1e-6, rel=3e-3)  # D a^2 x^2
    assert energy[2] == pytest.approx(4.0)


def test_forces_are_minus_the_gradient():
    potential, place = build(WELL), np.array([[0.7, -0.4, 0.6], [0.1, 0.2, 5.3]])
    steps = 1e-5 * np.eye(6).reshape(6, 2, 3)
    slope = (potential.evaluate(place + steps, *REST).energy - potential.evaluate(place - steps, *REST).energy) / 2e-5
    assert potential.evaluate(place[None], *REST).forces.ravel() == pytest.approx(-slope, rel=1e-7)


def test_no_force_at_the_centre():
    result = build(WELL).evaluate(np.array([[[0, 0, 0], [0, 0, 5.0]]]), *REST)
    assert not result.forces.any()
    assert np.isfinite(result.energy).all()
