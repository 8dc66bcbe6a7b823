import numpy as np
import pytest

from protocol.errors import BadSetting
from protocol.records import Structure
from sim_daemon.moves.sites import NOBODY, lattice_sites

CUBE = Structure(np.array([[0.0, 0, 0], [2, 0, 0]]), np.ones(2, int), 6.0 * np.eye(3), np.ones(3, bool))


def test_an_atom_is_on_a_site_across_the_cell_s_face_or_on_none():
    sites = lattice_sites(CUBE, np.array([[4.0, 0, 0]]), 2.1, 0.9)
    here = sites.occupants(np.array([[-6.3, 0.2, 5.9], [1.0, 0, 0]]))
    assert here.tolist() == [0, NOBODY]
    assert sites.vacant(here).tolist() == [1, 2]
    assert sites.beside(2, here) == [(0, 0)]  # 2 A through the face
    assert sites.beside(0, here) == []


def test_an_atom_in_the_sphere_of_a_skewed_cell_s_site_is_on_it():
    """2.3 A from its site, at right angles to b: of its images that within half of a and b is 3.2 A away."""
    cell = np.array([[5.0, 0, 0], [-2.5, 2.5 * np.sqrt(3), 0], [0, 0, 12.0]])
    structure = Structure(np.zeros((1, 3)), np.ones(1, int), cell, np.ones(3, bool))
    sites = lattice_sites(structure, np.array([[0.0, 0, 6.0]]), 6.1, 2.4)
    assert sites.occupants(2.3 * np.array([[np.sqrt(0.75), 0.5, 0]])).tolist() == [0]


@pytest.mark.parametrize(
    ("vacant", "neighbour", "capture", "said"),
    [([[4.0, 0, 0]], 2.1, 1.2, "overlap"), ([[3.0, 3, 3]], 2.1, 0.5, "vacant site 1 has no site within neighbour_A 2.1")],
)
def test_sites_that_cannot_work_are_refused(vacant, neighbour, capture, said):
    with pytest.raises(BadSetting, match=said):
        lattice_sites(CUBE, np.array(vacant), neighbour, capture)
