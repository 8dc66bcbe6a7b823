"""Shortest images against a search over many of them, and against ASE's."""

import itertools

import numpy as np
import pytest
from ase.geometry import find_mic

from kernels.images import _images, minimum_images

ALL = np.ones(3, bool)
HEXAGONAL = np.array([[5.0, 0, 0], [-2.5, 2.5 * np.sqrt(3), 0], [0, 0, 5.5]])
SKEWED = {
    "hexagonal": HEXAGONAL,
    "fcc": 2.9 * np.array([[0.0, 1, 1], [1, 0, 1], [1, 1, 0]]),
    "sheared": np.array([[4.0, 0, 0], [3.7, 2.0, 0], [-5.5, 1.3, 3.1]]),
    "left-handed": np.array([[0.3, 4.0, 0.2], [4.0, 1.9, 0], [1.8, 2.0, 6.0]]),
}


def shortest_of_many(vectors, cell, pbc):
    shifts = np.array(list(itertools.product(*(range(-5, 6) if p else (0,) for p in pbc)))) @ cell
    return np.linalg.norm(vectors[:, None] + shifts, axis=-1).min(axis=1)


def test_a_hexagonal_cell_s_longer_diagonal():
    """Fractional components within [-1/2, 1/2) are not enough: 4.243 A they say."""
    vector = np.array([0.49, -0.49, 0.0]) @ HEXAGONAL
    found = minimum_images(vector, HEXAGONAL, ALL)
    assert found.shape == (3,)
    assert np.linalg.norm(found) == pytest.approx(2.501, abs=5e-4)
    assert np.linalg.norm(found) == pytest.approx(find_mic(vector, HEXAGONAL)[1])


@pytest.mark.parametrize("pbc", [p for p in itertools.product((True, False), repeat=3) if any(p)])
@pytest.mark.parametrize("cell", SKEWED.values(), ids=SKEWED)
def test_no_image_is_shorter(cell, pbc):
    pbc = np.array(pbc)
    vectors = np.random.default_rng(3).uniform(-9, 9, (40, 10, 3))
    found = minimum_images(vectors, cell, pbc)
    want = shortest_of_many(found.reshape(-1, 3), cell, pbc)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1).ravel(), want, rtol=1e-12)
    np.testing.assert_allclose(want, find_mic(vectors.reshape(-1, 3), np.where(pbc[:, None], cell, 0), pbc)[1], rtol=1e-9)
    moved = (vectors - found).reshape(-1, 3) @ np.linalg.pinv(np.where(pbc[:, None], cell, 0))
    np.testing.assert_allclose(moved, np.rint(moved), atol=1e-9)


def test_random_cells():
    rng = np.random.default_rng(5)
    for _ in range(30):
        cell = rng.normal(0, 3, (3, 3))
        cell[2] += rng.integers(-2, 3, 2) @ cell[:2]
        if abs(np.linalg.det(cell)) > 3:
            vectors = rng.uniform(-6, 6, (50, 3))
            found = np.linalg.norm(minimum_images(vectors, cell, ALL), axis=1)
            np.testing.assert_allclose(found, find_mic(vectors, cell)[1], rtol=1e-9)


def test_rectangular_and_open_cells_try_no_neighbours():
    box, turn = np.diag([3.0, 4.0, 7.0]), np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    for cell in (box, box @ turn):
        assert len(_images(np.array(cell).tobytes(), ALL.tobytes()).shifts) == 0
    assert len(_images(HEXAGONAL.tobytes(), ALL.tobytes()).shifts) == 12  # a, b and these with c, not all 26
    vectors = np.random.default_rng(2).normal(0, 9, (5, 3))
    assert minimum_images(vectors, np.zeros((3, 3)), ~ALL) is vectors
    np.testing.assert_array_equal(minimum_images(vectors[:0], HEXAGONAL, ALL), np.zeros((0, 3)))


def test_a_slab_keeps_the_free_direction():
    cell = np.array([[3.0, 0, 0], [1.5, 2.6, 0], [0, 0, 0]])
    moved = minimum_images(np.array([[3.1, 0.1, 7.0], [1.4, 2.6, -7.0]]), cell, np.array([True, True, False]))
    np.testing.assert_allclose(moved, [[0.1, 0.1, 7.0], [-0.1, 0.0, -7.0]], atol=1e-12)


def test_a_flat_cell():
    with pytest.raises(ValueError, match="span no volume"):
        minimum_images(np.ones((1, 3)), np.array([[3.0, 0, 0], [6.0, 0, 0], [0, 0, 3]]), ALL)
