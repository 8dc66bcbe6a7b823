"""Distances by kind of pair."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.observables import distances


def test_means_over_pairs_and_beads(system, states):
    beads = np.zeros((1, 1, 2, 3, 3))
    beads[..., 1, 0] = [1.0, 1.2]
    beads[..., 2, 1] = [3.0, 4.0]
    found = distances.build(system(beads, [8, 1, 8])).add(states(beads)).series
    assert set(found) == {"distance_O-H_A", "distance_O-O_A"}
    assert found["distance_O-O_A"][0, 0] == pytest.approx(3.5)
    want = np.mean([1.0, 1.2, np.hypot(1.0, 3.0), np.hypot(1.2, 4.0)])
    assert found["distance_O-H_A"][0, 0] == pytest.approx(want)


def test_one_atom(system):
    with pytest.raises(BadSetting, match="at least two atoms"):
        distances.build(system(np.zeros((1, 1, 1, 1, 3)), [18]))
