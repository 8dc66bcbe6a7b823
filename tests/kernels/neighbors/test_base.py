import numpy as np
import pytest

from kernels.neighbors.base import lattice


def test_open_system_needs_no_cell():
    box = lattice(np.full((3, 3), np.nan), np.zeros(3, bool))
    assert np.array_equal(box.vectors, np.eye(3))
    assert not box.periodic.any()


def test_open_direction_becomes_a_unit_normal():
    cell = np.array([[3.0, 0, 0], [1, 4, 0], [0, 0, 0]])
    box = lattice(cell, np.array([True, True, False]))
    assert np.allclose(np.abs(box.vectors[2]), [0, 0, 1])
    assert np.allclose(box.heights, [12 / np.sqrt(17), 4, 1])
    assert np.allclose(box.vectors @ box.inverse, np.eye(3))


def test_heights_of_a_triclinic_cell_are_distances_between_faces():
    cell = np.array([[4.0, 0.3, -0.2], [1.0, 5.0, 0.1], [0.2, 0.4, 6.0]])
    box = lattice(cell, np.ones(3, bool))
    normal = np.cross(cell[1], cell[2])
    assert box.heights[0] == pytest.approx(abs(np.linalg.det(cell)) / np.linalg.norm(normal))


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.array([[1.0, 0, 0], [2, 0, 0], [0, 0, 1]]), np.full((3, 3), np.inf)])
def test_flat_or_broken_cells_are_refused(cell):
    with pytest.raises(ValueError, match="cell"):
        lattice(cell, np.ones(3, bool))
