"""Rings that exploration left without energies: labelled in full, and left where the engine refuses one of their beads."""

import numpy as np

from sim_daemon.moves.known import known
from sim_daemon.samplers.base import State
from sim_daemon.target import TargetValues

EDGE = 1.0  # beyond it the engine has no label


def label(walkers, positions, cells):
    """A well of 1 eV/A^2 with a wall, and what was asked."""
    beads = positions.reshape(-1, *positions.shape[2:])
    beyond = beads[:, 0, 0] > EDGE
    energies = np.where(beyond, np.inf, 0.5 * np.sum(beads**2, axis=(1, 2)))
    forces = np.where(beyond[:, None, None], np.nan, -beads)
    refused = tuple("engine_failure: SCF" if far else None for far in beyond)
    return TargetValues(beads, energies, forces, (None,) * len(beads), refused, np.ones(len(beads)), np.zeros(len(beads)))


def ring(x):
    return np.full((2, 1, 3), 0.1) + np.array([[[x, 0, 0]], [[0, 0, 0]]])


def state(*places, refuges):
    positions = np.array([ring(x) for x in places])
    unknown = np.full(positions.shape[:2], np.nan), np.full(positions.shape, np.nan)
    kept = tuple(np.array([ring(x) for x in own]) for own in refuges)
    cells = tuple(np.zeros((len(own), 3, 3)) for own in refuges)
    return State(positions, *unknown, np.zeros((len(places), 3, 3)), kept, cells)


def test_a_ring_with_a_refused_bead_is_left_for_the_newest_refuge_that_has_labels():
    before = state(0.3, 2.0, refuges=([0.1], [0.2, 0.5, 3.0]))
    after = known(before, label)
    np.testing.assert_array_equal(after.positions, [ring(0.3), ring(0.5)])
    np.testing.assert_allclose(after.energies, 0.5 * np.sum(after.positions**2, axis=(2, 3)))
    np.testing.assert_array_equal(after.forces, -after.positions)
    assert np.isnan(before.energies).all()
    np.testing.assert_array_equal(before.positions[1], ring(2.0))


def test_where_no_refuge_has_labels_the_ring_has_none():
    after = known(state(2.0, refuges=([3.0],)), label)
    assert np.isposinf(after.energies[0]).any()


def test_what_is_known_is_not_asked_again():
    after = known(state(0.3, refuges=([0.1],)), label)
    assert known(after, lambda *_: 1 / 0) is after
