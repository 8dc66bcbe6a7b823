"""Wells by hand."""

import dataclasses

import numpy as np
import pytest

from protocol.errors import BadSetting
from sim_daemon.engines.base import LabelFailed

CENTRES = [(0, 0, 0), (1, 0, 0), (0, 2, 0)]


def test_by_hand(build, water):
    moved = dataclasses.replace(water, positions=np.array(CENTRES) + np.array([[0.1, 0, 0], [0, 0, 0], [0, 0, -0.2]]))
    label = build("harmonic", k_eV_per_A2=4.0, centres_A=CENTRES).label(moved)
    assert label.energy == pytest.approx(2.0 * (0.01 + 0.04))
    assert np.allclose(label.forces, [[-0.4, 0, 0], [0, 0, 0], [0, 0, 0.8]])
    assert label.stress is None


def test_one_centre_serves_all_atoms(build, water):
    assert build("harmonic", k_eV_per_A2=2.0).label(water).energy == pytest.approx((water.positions**2).sum())


def test_centres_for_another_number_of_atoms_are_refused(build, water):
    with pytest.raises(BadSetting, match="2 centres for 3 atoms"):
        build("harmonic", k_eV_per_A2=4.0, centres_A=CENTRES[:2]).label(water)


def test_a_number_that_is_not_finite_is_no_label(build, water):
    with pytest.raises(LabelFailed, match="not a finite"):
        build("harmonic", k_eV_per_A2=4.0).label(dataclasses.replace(water, positions=water.positions * np.nan))
