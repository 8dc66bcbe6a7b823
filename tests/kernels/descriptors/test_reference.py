import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from kernels.descriptors.reference import push_forward, values

OPEN = np.zeros((3, 3)), np.zeros(3, bool)


def test_one_neighbour_by_hand():
    """f = 1/2 and x = 0 half way to the cut-off: T_0, T_1, T_2 = 1, 0, -1."""
    descriptor = Chebyshev((1, 8), "species_resolved", 2, 4.0, 1, 4.0, (1,))
    features = values(descriptor, np.array([[[0, 0, 0], [0, 2, 0]]]), np.array([8, 1]), *OPEN)
    assert np.allclose(features[0, 0], [0.5, 0, -0.5, *[0] * 9], atol=1e-15)
    assert np.allclose(features[0, 1], [0, 0, 0, 0.5, 0, -0.5, *[0] * 6], atol=1e-15)


def test_one_angle_by_hand():
    """Two H at right angles, half way to the cut-off: weights 1/4 and 1/64, T_m(0) = 1, 0, -1."""
    descriptor = Chebyshev((8, 1), "species_resolved", 0, 4.0, 2, 4.0)
    features = values(descriptor, np.array([[[0, 0, 0], [0, 2, 0], [0, 0, 2]]]), np.array([8, 1, 1]), *OPEN)[0, 0]
    assert features[:2].tolist() == pytest.approx([0, 1])
    angular = features[2:].reshape(2, 3, 3)  # power, pair (OO, OH, HH), m
    assert np.allclose(angular[0, 2], [1 / 4, 0, -1 / 4], atol=1e-15)
    assert np.allclose(angular[1, 2], [1 / 64, 0, -1 / 64], atol=1e-15)
    assert not angular[:, :2].any()


def test_directional_derivative_is_a_difference_quotient(silica):
    positions, numbers, cell, pbc = silica
    descriptor = Chebyshev((8, 14, 1), "species_resolved", 4, 3.6, 3, 3.1, (1, 2))
    direction = np.random.default_rng(5).normal(size=positions[:1].shape)
    step = 1e-5 * direction
    ahead, behind = (values(descriptor, positions[:1] + sign * step, numbers, cell, pbc) for sign in (1, -1))
    change = push_forward(descriptor, positions[:1], numbers, cell, pbc, direction)
    assert np.allclose(change, (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-7)
