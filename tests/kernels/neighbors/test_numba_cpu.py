import numpy as np
import pytest

from kernels.neighbors import numba_cpu, reference


def rows(near):
    """The pairs as a sorted table of (first, second, shift)."""
    table = np.column_stack([near.first, near.second, near.shift])
    order = np.lexsort(table.T[::-1])
    return table[order], near.vector[order], near.distance[order]


def same(one, other):
    for mine, yours in zip(rows(one), rows(other), strict=True):
        assert mine.shape == yours.shape
        assert np.allclose(mine, yours, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cutoff", [1.0, 2.9, 7.3])
def test_small_systems_match_the_reference(silica, cutoff):
    positions, _, cell, pbc = silica
    near = numba_cpu.pairs(positions[0], cell, pbc, cutoff)
    same(near, reference.pairs(positions[0], cell, pbc, cutoff))
    assert np.all(np.diff(near.first) >= 0)
    shifted = positions[0][near.second] + near.shift @ cell - positions[0][near.first]
    assert np.allclose(shifted, near.vector, atol=1e-12)


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)])
@pytest.mark.parametrize("edges", [(15.0, 12.0, 9.0), (40.0, 4.0, 5.0)])
def test_bins_match_the_reference(pbc, edges):
    """More atoms than one bin takes; the second box has directions shorter than the cut-off."""
    rng = np.random.default_rng(3)
    cell = np.diag(edges) + rng.uniform(-1, 1, (3, 3))
    positions = rng.uniform(-0.3, 1.4, (numba_cpu.ONE_BIN_ATOMS + 31, 3)) @ cell
    flags = np.array(pbc, dtype=bool)
    same(numba_cpu.pairs(positions, cell, flags, 4.3), reference.pairs(positions, cell, flags, 4.3))


def test_distance_equal_to_the_cutoff_counts():
    positions = np.array([[0.0, 0, 0], [0, 0, 2]])
    assert len(numba_cpu.pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), 2.0).first) == 2


def test_all_atoms_in_a_plane_do_not_break_the_bins():
    positions = np.zeros((numba_cpu.ONE_BIN_ATOMS + 20, 3))
    positions[:, 0] = 1.5 * np.arange(len(positions))
    near = numba_cpu.pairs(positions, np.zeros((3, 3)), np.zeros(3, bool), 2.0)
    assert len(near.first) == 2 * (len(positions) - 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e300])
def test_exploded_positions_are_refused(value):
    positions = np.array([[0.0, 0, 0], [0, value, 1]])
    assert not numba_cpu.is_usable(positions)
    with pytest.raises(ValueError, match="finite"):
        numba_cpu.pairs(positions, np.eye(3), np.ones(3, bool), 2.0)
