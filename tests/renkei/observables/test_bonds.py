"""Bonds of the first state, followed in cells that breathe."""

import numpy as np
import pytest
from ase.build import bulk

from protocol.errors import BadSetting
from renkei.observables import bonds


def test_water(system, states, water):
    found = bonds.build(system(water, [8, 1, 1])).add(states(water))
    lengths = np.linalg.norm(water[2, 1, :, 1:] - water[2, 1, :, :1], axis=-1)
    assert found.series["bond_length_O-H_A"][2, 1] == pytest.approx(lengths.mean())
    assert 95 < found.series["bond_angle_H-O-H_deg"].mean() < 115
    curve = found.curves["bond_length_distribution_O-H"].total
    np.testing.assert_allclose(curve.sum(axis=-1) * 3.0 / 180, 1.0)


def test_silicon_that_breathes(system, states):
    silicon = bulk("Si")
    scale = np.array([[1.0], [1.05]])[..., None, None]
    positions = silicon.positions * scale[:, :, None]
    found = bonds.build(system(positions, [14, 14], silicon.cell[:])).add(states(positions, silicon.cell[:] * scale))
    np.testing.assert_allclose(found.series["bond_length_Si-Si_A"][:, 0], 5.43 * np.sqrt(3) / 4 * scale.ravel())
    np.testing.assert_allclose(found.series["bond_angle_Si-Si-Si_deg"], 109.4712206)


def test_no_bonds(system):
    with pytest.raises(BadSetting, match="no two atoms"):
        bonds.build(system(np.zeros((1, 1, 1, 1, 3)), [18]))
