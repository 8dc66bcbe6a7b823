"""By element."""

import numpy as np

from renkei.observables import radius_of_gyration


def test_two_beads_apart(system, states):
    ring = np.zeros((1, 1, 2, 2, 3))
    ring[0, 0, 1, 1] = [0.0, 0.6, 0.8]
    found = radius_of_gyration.build(system(ring, [8, 1])).add(states(ring)).series
    np.testing.assert_allclose(found["radius_of_gyration_H_A"], 0.5)
    np.testing.assert_allclose(found["radius_of_gyration_O_A"], 0.0)
