"""A proton that goes over."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.observables import proton_transfer


def test_share_and_distribution(system, states):
    beads = np.zeros((1, 1, 4, 3, 3))
    beads[..., 1, 0] = [0.9, 1.0, 1.1, 1.4]
    beads[..., 2, 0] = 2.4
    found = proton_transfer.build(system(beads, [8, 1, 8])).add(states(beads))
    assert found.series["proton_transfer_share"][0, 0] == 0.25
    assert found.series["proton_transfer_largest_A"][0, 0] == pytest.approx(np.mean([-0.6, -0.4, -0.2, 0.4]))
    assert found.curves["proton_transfer_distribution"].total.sum() * 0.05 == pytest.approx(1.0)


def test_one_oxygen(system, water):
    with pytest.raises(BadSetting, match="at least two atoms"):
        proton_transfer.build(system(water, [8, 1, 1]))
