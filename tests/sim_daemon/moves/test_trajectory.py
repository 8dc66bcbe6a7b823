"""Trajectories of rings: a long one is many short ones, it runs backwards, and trapped walkers stay where they are."""

import numpy as np
import pytest

from kernels.ring_polymer import ring_polymer
from sim_daemon.moves.trajectory import Trajectory, integrate, sane

RING = ring_polymer(np.array([1.0, 12.0, 16.0]), 300.0, 4, 1000.0)


def well(walkers, positions):
    """Harmonic and quartic in every coordinate."""
    return np.sum(0.5 * positions**2 + positions**4, axis=(2, 3)), -positions - 4 * positions**3


def begin(count, forces=well, trapped=False):
    rng = np.random.default_rng(3)
    positions = rng.normal(0, 0.2, (count, 4, 3, 3))
    momenta = np.array([RING.draw_momenta(rng) for _ in range(count)])
    return Trajectory(positions, momenta, *forces(np.arange(count), positions), np.full(count, trapped))


def test_a_long_trajectory_is_many_short_ones():
    steps = np.array([12, 5])
    now = begin(2)
    together = integrate(RING, now, well, 0.5, steps)
    for k in range(12):
        now = integrate(RING, now, well, 0.5, (steps > k).astype(int))
    for field in ("positions", "momenta", "energies", "forces"):
        np.testing.assert_allclose(getattr(together, field), getattr(now, field), rtol=1e-9, atol=1e-12)


def test_it_runs_backwards():
    start = begin(1)
    there = integrate(RING, start, well, 0.5, np.array([40]))
    back = integrate(RING, there._replace(momenta=-there.momenta), well, 0.5, np.array([40]))
    np.testing.assert_allclose(back.positions, start.positions, atol=1e-10)
    np.testing.assert_allclose(back.momenta, -start.momenta, atol=1e-10)
    assert np.abs(there.positions - start.positions).max() > 0.05


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 2e3])
def test_a_walker_is_trapped_where_a_force_is_absurd_or_no_number(bad):
    def forces(walkers, positions):
        energies, gradient = well(walkers, positions)
        calls.append(len(walkers))
        gradient[(walkers == 1) & (len(calls) == 3), 2, 0, 1] = bad
        return energies, gradient

    calls = []
    end = integrate(RING, begin(2), forces, 0.5, np.array([6, 6]))
    assert list(end.trapped) == [False, True]
    assert calls == [2, 2, 2, 1, 1, 1]
    alone = integrate(RING, Trajectory(*(part[:1] for part in begin(2)[:5])), well, 0.5, np.array([6]))
    assert np.array_equal(end.positions[0], alone.positions[0])
    assert np.array_equal(end.momenta[0], alone.momenta[0])


@pytest.mark.filterwarnings("error")
def test_a_walker_that_begins_trapped_does_not_move():
    start = begin(1, trapped=True)._replace(forces=np.full((1, 4, 3, 3), np.inf))
    end = integrate(RING, start, well, 0.5, np.array([3]))
    assert np.array_equal(end.positions, start.positions)
    assert np.array_equal(end.momenta, start.momenta)


def test_sane():
    energies, forces = np.zeros((4, 2)), np.zeros((4, 2, 1, 3))
    energies[1, 0], forces[2, 1, 0, 2], forces[3, 0, 0, 0] = np.inf, np.nan, -999.0
    assert list(sane(energies, forces)) == [True, False, False, True]
