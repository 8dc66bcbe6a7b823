"""The proton between two oxygens."""

import numpy as np
from ase.geometry import find_mic

from renkei.analysis.proton_transfer import find_protons, transfer_coordinates

OPEN = (np.zeros((3, 3)), np.zeros(3, dtype=bool))
PERIODIC = (np.diag([10.0, 10.0, 10.0]), np.ones(3, dtype=bool))
NUMBERS = np.array([8, 1, 6, 8])


def shared(x):
    """O at 0, O at 2.4 A, a carbon that carries nothing right beside the proton at x."""
    return np.array([[0.0, 0, 0], [x, 0, 0], [x, 0.5, 0], [2.4, 0, 0]])


def test_sign_and_size():
    protons = find_protons(shared(1.0), NUMBERS, *OPEN)
    assert (protons.hydrogen.tolist(), protons.donor.tolist()) == ([1], [0])
    beads = np.stack([shared(1.0), shared(1.2), shared(1.5)])
    np.testing.assert_allclose(transfer_coordinates(protons, beads, *OPEN)[:, 0], [-0.4, 0.0, 0.6])


def test_through_the_face_of_a_cell():
    start = shared(1.0) + np.array([8.0, 0, 0])
    start[3, 0] -= 10.0
    protons = find_protons(start, NUMBERS, *PERIODIC)
    np.testing.assert_allclose(transfer_coordinates(protons, start, *PERIODIC), [-0.4])


def test_through_the_edge_of_a_skewed_cell():
    """A proton between two oxygens, along the short diagonal of a hexagonal cell; the image within half of a and b is far."""
    cell = np.array([[5.0, 0, 0], [-2.5, 2.5 * np.sqrt(3), 0], [0, 0, 5.5]])
    places = np.array([[0.0, 0, 0], [0.2, 0.2, 0], [0.0, 0, 0.5], [0.51, 0.51, 0]]) @ cell
    places[3] -= cell[0]  # 2.55 A from the first by (0.51, 0.51) of a and b
    lattice = cell, np.ones(3, dtype=bool)
    protons = find_protons(places, NUMBERS, *lattice)
    np.testing.assert_allclose(transfer_coordinates(protons, places, *lattice), [1.0 - 1.55])
    far = places.copy()
    far[3] = np.array([0.69, -0.29, 0]) @ cell  # the proton at (0.2, 0.2): (0.49, -0.49) from it
    want = 1.0 - find_mic(far[3] - far[1], cell)[1]
    np.testing.assert_allclose(transfer_coordinates(protons, far, *lattice), [want])


def test_nothing_to_go_to():
    assert len(find_protons(np.zeros((2, 3)), np.array([8, 1]), *OPEN).hydrogen) == 0
    assert len(find_protons(shared(1.0)[[0, 3]], np.array([8, 8]), *OPEN).hydrogen) == 0
