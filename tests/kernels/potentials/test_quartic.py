import numpy as np
import pytest

from kernels.potentials.quartic import build

REST = np.ones(1), np.zeros((3, 3)), np.zeros(3, bool)


def test_double_well_by_hand():
    """a = -2, b = 1/2: minima at x = +-1 with V = -1/2 for each coordinate."""
    potential = build({"a_eV_per_A2": -2.0, "b_eV_per_A4": 0.5, "centres": [[0, 0, 3]]})
    result = potential.evaluate(np.array([[[1.0, -1, 4]], [[0, 0, 3]], [[2, 0, 3]]]), *REST)
    assert np.allclose(result.energy, [-1.5, 0, 4])
    assert np.allclose(result.forces, [[[0, 0, 0]], [[0, 0, 0]], [[-12, 0, 0]]])


def test_forces_are_minus_the_gradient():
    potential = build({"a_eV_per_A2": 1.3, "b_eV_per_A4": 0.4, "centres": [[0.1, 0.2, 0.3]]})
    place, steps = np.array([[0.7, -0.4, 1.1]]), 1e-5 * np.eye(3)[:, None, :]
    slope = (potential.evaluate(place + steps, *REST).energy - potential.evaluate(place - steps, *REST).energy) / 2e-5
    assert potential.evaluate(place[None], *REST).forces[0, 0] == pytest.approx(-slope, rel=1e-8)
