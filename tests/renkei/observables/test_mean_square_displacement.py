"""Random walks of centroids."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.observables import mean_square_displacement


def test_a_random_walk_grows_linearly_and_every_state_is_an_origin(system, states):
    rng = np.random.default_rng(1)
    width = np.array([0.1, 0.3])[:, None]
    centroids = np.cumsum(width * rng.standard_normal((3000, 2, 1, 2, 3)), axis=0)
    positions = centroids + np.array([-0.2, 0.2]).reshape(1, 1, 2, 1, 1)
    observable = mean_square_displacement.build(system(positions, [8, 1]), largest_lag=10)
    found = observable.add(states(positions)).curves
    lag = np.arange(1, 11)
    for name, square in [("O", 0.01), ("H", 0.09)]:
        part = found[f"mean_square_displacement_{name}"]
        assert part.weight.sum(axis=(0, 1)).tolist() == [2 * (3000 - k) for k in lag]
        value = part.total.sum(axis=(0, 1)) / part.weight.sum(axis=(0, 1))
        np.testing.assert_allclose(value, 3 * square * lag, rtol=0.12)


def test_no_lag(system, water):
    with pytest.raises(BadSetting, match="at least 1"):
        mean_square_displacement.build(system(water, [8, 1, 1]), largest_lag=0)
