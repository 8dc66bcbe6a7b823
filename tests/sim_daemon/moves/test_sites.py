import numpy as np
import pytest

from protocol.errors import BadSetting
from protocol.records import Structure
from sim_daemon.moves.sites import NOBODY, lattice_sites, nearest_image

CUBE = Structure(np.array([[0.0, 0, 0], [2, 0, 0]]), np.ones(2, int), 6.0 * np.eye(3), np.ones(3, bool))


def test_an_atom_is_on_a_site_across_the_cell_s_face_or_on_none():
    sites = lattice_sites(CUBE, np.array([[4.0, 0, 0]]), 2.1, 0.9)
    here = sites.occupants(np.array([[-6.3, 0.2, 5.9], [1.0, 0, 0]]))
    assert here.tolist() == [0, NOBODY]
    assert sites.vacant(here).tolist() == [1, 2]
    assert sites.beside(2, here) == [(0, 0)]  # 2 A through the face
    assert sites.beside(0, here) == []


def test_nearest_image_of_a_slab_keeps_the_free_direction():
    cell = np.array([[3.0, 0, 0], [1.5, 2.6, 0], [0, 0, 0]])
    moved = nearest_image(np.array([[3.1, 0.1, 7.0], [1.4, 2.6, -7.0]]), cell, np.array([True, True, False]))
    np.testing.assert_allclose(moved, [[0.1, 0.1, 7.0], [-0.1, 0.0, -7.0]], atol=1e-12)


@pytest.mark.parametrize(
    ("vacant", "neighbour", "capture", "said"),
    [([[4.0, 0, 0]], 2.1, 1.2, "overlap"), ([[3.0, 3, 3]], 2.1, 0.5, "vacant site 1 has no site within neighbour_A 2.1")],
)
def test_sites_that_cannot_work_are_refused(vacant, neighbour, capture, said):
    with pytest.raises(BadSetting, match=said):
        lattice_sites(CUBE, np.array(vacant), neighbour, capture)
