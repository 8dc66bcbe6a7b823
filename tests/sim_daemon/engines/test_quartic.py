"""A quartic well by hand."""

import dataclasses

import numpy as np
import pytest


def test_by_hand(build, water):
    x = np.zeros((3, 3))
    x[1, 2] = 0.5
    label = build("quartic", a_eV_per_A2=-2.0, b_eV_per_A4=3.0).label(dataclasses.replace(water, positions=x))
    assert label.energy == pytest.approx(-0.25 + 3 / 16)
    assert label.forces[1, 2] == pytest.approx(2 * 0.5 - 12 * 0.125)
    assert np.count_nonzero(label.forces) == 1
