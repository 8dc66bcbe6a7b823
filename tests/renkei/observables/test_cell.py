"""Cells that vary by state and walker."""

import numpy as np
import pytest
from ase.geometry import cell_to_cellpar, cellpar_to_cell

from protocol.errors import BadSetting
from renkei.observables import cell


def test_lengths_angles_and_volume_of_each_state(system, states, water):
    box = cellpar_to_cell([4.0, 5.0, 6.0, 80.0, 95.0, 110.0])
    cells = box * np.array([[1.0, 1.1], [1.2, 1.0], [0.9, 1.0]])[..., None, None]
    found = cell.build(system(water, [8, 1, 1], box)).add(states(water, cells)).series
    names = ("a_A", "b_A", "c_A", "alpha_deg", "beta_deg", "gamma_deg")
    np.testing.assert_allclose([found[f"cell_{name}"][1, 0] for name in names], cell_to_cellpar(1.2 * box))
    np.testing.assert_allclose(found["volume_A3"], np.linalg.det(cells))
    # one water molecule in 30 A^3: near 1 g/cm^3
    assert found["density_g_per_cm3"][0, 0] == pytest.approx(18.016 / 0.602214 / np.linalg.det(box), rel=1e-3)


def test_clusters_have_none(system, water):
    with pytest.raises(BadSetting, match="not periodic"):
        cell.build(system(water, [8, 1, 1]))
