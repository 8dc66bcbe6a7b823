import numpy as np

from kernels.neighbors.reference import pairs


def test_two_atoms():
    near = pairs(np.array([[0.0, 0, 0], [0, 0, 1.5]]), np.zeros((3, 3)), np.zeros(3, bool), 2.0)
    assert near.first.tolist() == [0, 1]
    assert near.second.tolist() == [1, 0]
    assert np.array_equal(near.vector, [[0, 0, 1.5], [0, 0, -1.5]])
    assert np.array_equal(near.distance, [1.5, 1.5])


def test_simple_cubic_shells():
    """6, 12, 8, 6 images of a lone atom at 1, sqrt 2, sqrt 3, 2 lattice constants."""
    for cutoff, count in ((1.1, 6), (1.5, 18), (1.8, 26), (2.1, 32)):
        near = pairs(np.array([[0.2, 5.3, -7.0]]), np.eye(3), np.ones(3, bool), cutoff)
        assert len(near.first) == count
        assert np.allclose(near.shift @ np.eye(3), near.vector)


def test_no_neighbours():
    near = pairs(np.array([[0.0, 0, 0], [0, 0, 9]]), np.zeros((3, 3)), np.zeros(3, bool), 2.0)
    assert near.vector.shape == (0, 3)
    assert near.shift.shape == (0, 3)
