"""Displacements: straight, and with a cell that breathes."""

import numpy as np

from renkei.analysis.displacement import squared_displacements

CELL = np.array([[4.0, 0.0, 0.0], [1.0, 4.0, 0.0], [0.5, 0.7, 4.0]])


def test_a_breathing_crystal_has_not_moved():
    scaled = np.random.default_rng(1).random((2, 5, 3)) + 7.0  # far from the origin
    cells = np.stack([CELL, CELL])
    bigger = 1.02 * cells
    still = squared_displacements(scaled @ bigger, scaled @ cells, bigger, cells, np.ones(3, dtype=bool))
    np.testing.assert_allclose(still, 0, atol=1e-20)
    moved = squared_displacements(scaled @ bigger + [0.3, 0.0, 0.4], scaled @ cells, bigger, cells, np.ones(3, dtype=bool))
    np.testing.assert_allclose(np.sqrt(moved), 0.5 * 1.01 / 1.02)


def test_one_cell_and_none():
    before = np.zeros((1, 2, 3))
    now = before + np.array([1.0, 2.0, 2.0])
    for cell, pbc in [(CELL, True), (np.zeros((3, 3)), False)]:
        found = squared_displacements(now, before, cell[None], cell[None], np.full(3, pbc))
        np.testing.assert_allclose(found, 9.0)
