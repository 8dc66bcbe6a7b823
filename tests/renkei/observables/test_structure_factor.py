"""Ideal gas, crystal and cluster; X-ray and neutrons."""

import numpy as np
import pytest
from ase.build import bulk

from protocol.errors import BadSetting
from renkei.observables import structure_factor


def curve(part):
    with np.errstate(invalid="ignore"):
        return part.total.sum(axis=(0, 1)) / part.weight.sum(axis=(0, 1))


def test_an_ideal_gas_in_cells_that_breathe_is_one(system, states):
    rng = np.random.default_rng(1)
    cells = 7.0 * np.eye(3) * rng.uniform(0.95, 1.05, (60, 2, 1, 1))
    positions = np.einsum("swpna,swab->swpnb", rng.random((60, 2, 2, 12, 3)), cells)
    observable = structure_factor.build(system(positions, [8, 1, 1] * 4, cells[0, 0]), largest_q_per_A=6.0, bins=12)
    found = observable.add(states(positions, cells)).curves
    for part in found.values():
        value = curve(part)
        assert np.isnan(value[0])  # nothing below the smallest vector
        np.testing.assert_allclose(value[2:], 1.0, atol=0.15)
        assert np.nanmean(value) == pytest.approx(1.0, abs=0.02)


def test_the_first_peak_of_fcc(system, states):
    copper = bulk("Cu", cubic=True) * (2, 2, 2)
    positions = copper.positions[None, None, None]
    observable = structure_factor.build(system(positions, copper.numbers, copper.cell[:]), 4.0, bins=80, per_bin=1000)
    for name, part in observable.add(states(positions, copper.cell[:])).curves.items():
        value = np.nan_to_num(curve(part))
        first = observable.axes[name].points[np.flatnonzero(value > 1)[0]]
        assert first == pytest.approx(2 * np.pi * np.sqrt(3) / 3.61, abs=0.025)


def test_a_cluster_follows_debye(system, states):
    """Two oxygens at 1.2 A: 1 + sin(qr)/(qr) for both kinds of radiation."""
    positions = np.zeros((1, 1, 1, 2, 3))
    positions[..., 1, 2] = 1.2
    observable = structure_factor.build(system(positions, [8, 8]))
    for name, part in observable.add(states(positions)).curves.items():
        q = observable.axes[name].points
        np.testing.assert_allclose(curve(part), 1 + np.sin(1.2 * q) / (1.2 * q))


def test_slabs_and_absurd_options(system, water):
    slab = system(water, [8, 1, 1], np.eye(3))
    slab.pbc[2] = False
    with pytest.raises(BadSetting, match="three directions"):
        structure_factor.build(slab)
    with pytest.raises(BadSetting, match="must be positive"):
        structure_factor.build(system(water, [8, 1, 1]), bins=0)
