"""Distances by kind of pair."""

import numpy as np
import pytest
from ase.geometry import find_mic

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


def test_the_shortest_image_in_skewed_cells_that_vary(system, states):
    """Fractional components within [-1/2, 1/2) give 4.243 A in the first of them; ASE's minimum image is 2.501 A."""
    hexagonal = np.array([[5.0, 0, 0], [-2.5, 2.5 * np.sqrt(3), 0], [0, 0, 5.5]])
    cells = np.array([[hexagonal], [1.1 * hexagonal]])
    beads = np.zeros((2, 1, 1, 2, 3))
    beads[:, 0, 0, 1] = [0.49, -0.49, 0.0] @ cells[:, 0]
    found = distances.build(system(beads, [8, 8], hexagonal)).add(states(beads, cells)).series["distance_O-O_A"]
    want = [find_mic(beads[s, 0, 0, 1], cells[s, 0])[1] for s in (0, 1)]
    np.testing.assert_allclose(found[:, 0], want)
    assert found[0, 0] == pytest.approx(2.501, abs=5e-4)


def test_one_atom(system):
    with pytest.raises(BadSetting, match="at least two atoms"):
        distances.build(system(np.zeros((1, 1, 1, 1, 3)), [18]))
