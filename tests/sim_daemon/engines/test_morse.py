"""A Morse well by hand."""

import dataclasses

import numpy as np
import pytest


def test_by_hand(build, water):
    x = np.zeros((3, 3))
    x[:, 1] = [1.0, 1.5, 1e6]
    engine = build("morse", depth_eV=2.0, width_per_A=2.0, distance_A=1.0)
    label = engine.label(dataclasses.replace(water, positions=x))
    decay = np.exp(-1.0)
    assert label.energy == pytest.approx(2 * (1 - decay) ** 2 + 2)
    assert np.allclose(label.forces, [[0, 0, 0], [0, -8 * (1 - decay) * decay, 0], [0, 0, 0]])
