"""The fit of the two-body energy: what made the forces comes back, and walls stand where nothing was seen."""

import numpy as np
import pytest

from kernels.baseline import columns, curve, of_coefficients
from kernels.neighbors.numba_cpu import pairs
from train_daemon import walls

CUTOFF = 5.0


def ring(seed, count=9):
    """Positions of atoms no nearer than about 1 A and species of two kinds."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)[rng.permutation(27)[:count]]
    return 1.6 * grid + rng.uniform(-0.3, 0.3, (count, 3)), rng.integers(0, 2, count)


def seen(structures):
    parts, shortest = [], np.full(3, np.inf)
    for positions, kinds in structures:
        near = pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), CUTOFF)
        parts.append(columns(near, kinds, 2, CUTOFF)[1].reshape(-1, 6))
        both = kinds[near.first] + kinds[near.second]
        shortest = np.minimum(shortest, [np.min(near.distance[both == n], initial=np.inf) for n in range(3)])
    return np.concatenate(parts), shortest


def test_coefficients_that_made_the_forces_come_back():
    made = np.array([9.0, 4.0, 20.0, 2.0, 0.0, 5.0])
    matrix, shortest = seen([ring(seed) for seed in range(8)])
    assert walls.fit(matrix, matrix @ made, shortest) == pytest.approx(made, abs=1e-8)


def test_forces_of_another_kind_still_give_walls_that_fall_with_the_distance():
    matrix, shortest = seen([ring(seed) for seed in range(4)])
    for forces in (-matrix[:, 0], np.random.default_rng(1).normal(size=len(matrix)), 0 * matrix[:, 0], matrix @ -np.ones(6)):
        found = walls.fit(matrix, forces, shortest)
        assert np.min(found) >= 0
        for repulsion, attraction, reach in zip(*np.split(found, 2), shortest, strict=True):
            distances = np.linspace(0.3, walls.MONOTONE, 60) * reach
            energies = np.array([curve(r, repulsion, attraction, CUTOFF)[0] for r in distances])
            assert np.all(np.diff(energies) <= 1e-12 * np.abs(energies[1:]))
            assert energies[0] > 1000


def test_a_pair_that_was_never_seen_gets_nothing():
    positions, kinds = ring(3)
    matrix, shortest = seen([(positions, np.zeros_like(kinds))])
    found = walls.fit(matrix, matrix[:, 0], shortest)
    assert found[0] == pytest.approx(1.0, rel=1e-8)
    assert np.all(found[[1, 2, 4, 5]] == 0)


def test_nothing_seen_is_no_baseline():
    found = walls.fit(np.zeros((6, 6)), np.ones(6), np.full(3, np.inf))
    assert not of_coefficients(found, 2, CUTOFF).repulsion.any()
