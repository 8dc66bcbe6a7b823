import numpy as np
import pytest

from sim_daemon.moves.jump import squared_jump

MASSES, NOWHERE, EVERYWHERE = np.array([16.0, 1.0, 1.0]), np.zeros(3, bool), np.ones(3, bool)
CELL = 8.0 * np.eye(3)
PLACES = np.array([[0.0, 0.0, 0.1], [0.8, 0.6, 0.0], [-0.8, 0.6, 0.0]])


def turned(places, angle):
    c, s = np.cos(angle), np.sin(angle)
    return places @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])


def test_atoms_count_by_their_mass():
    moved = PLACES + np.array([[0.0, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, -0.3, 0.0]])  # the centre of mass stays
    assert squared_jump(MASSES, PLACES, moved, (CELL, CELL), EVERYWHERE) == pytest.approx(2 * 0.09 / 18)


def test_motion_of_the_whole_is_no_jump():
    away = turned(PLACES, 0.7) + 3.0
    assert squared_jump(MASSES, PLACES, PLACES + 3.0, (CELL, CELL), EVERYWHERE) == pytest.approx(0, abs=1e-24)
    assert squared_jump(MASSES, PLACES, away, (CELL, CELL), NOWHERE) == pytest.approx(0, abs=1e-24)
    assert squared_jump(MASSES, PLACES, away, (CELL, CELL), EVERYWHERE) > 0.05  # a lattice does not turn
    chiral = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 0.0, 2.0]])
    found = squared_jump(np.ones(4), chiral, chiral * [1.0, 1.0, -1.0], (CELL, CELL), NOWHERE)
    assert found > 0.1  # a rotation, not a reflection


def test_the_turn_is_the_best_one():
    rng = np.random.default_rng(1)
    moved = turned(PLACES, 1.1) + rng.normal(0, 0.1, PLACES.shape)
    found = squared_jump(MASSES, PLACES, moved, (CELL, CELL), NOWHERE)
    share = MASSES / 18
    here = PLACES - share @ PLACES
    for angle in np.linspace(0, 2 * np.pi, 200):
        there = turned(moved - share @ moved, angle)
        assert found <= share @ np.sum((there - here) ** 2, axis=1) + 1e-12


def test_what_the_cell_alone_has_moved_is_no_jump():
    stretched = 1.1 * CELL
    assert squared_jump(MASSES, PLACES, 1.1 * PLACES, (CELL, stretched), EVERYWHERE) == pytest.approx(0, abs=1e-24)
    one = squared_jump(MASSES[:1], PLACES[:1], 1.1 * PLACES[:1] + 0.2, (CELL, CELL), EVERYWHERE)
    assert one == pytest.approx(0.04 + 0.04 + 0.21**2)  # a single atom has nothing to move against
