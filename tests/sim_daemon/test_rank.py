from contextlib import nullcontext

import numpy as np
import pytest

from protocol.errors import EnvironmentFailed
from sim_daemon.rank import PACE_PERIOD, PACE_PROBES, Pace, Rank, SharedSurrogate
from sim_daemon.world import World


def run(pace, calls, shared_s, alone_s):
    shared = 0
    for _ in range(calls):
        now = pace.share()
        pace.took(now, shared_s if now else alone_s)
        shared += now
    return shared


def test_sharing_goes_on_where_it_is_faster_and_is_given_up_where_it_is_not():
    pace = Pace()
    assert run(pace, PACE_PERIOD, 1.0, 2.0) == PACE_PERIOD - PACE_PROBES
    assert run(pace, PACE_PERIOD, 3.0, 2.0) <= 3 * PACE_PROBES  # it needs some calls to forget the good days
    assert run(pace, PACE_PERIOD, 3.0, 2.0) == PACE_PROBES


def test_a_batch_comes_back_whole_and_in_order():
    world = World()
    world.handlers = {"evaluate": lambda positions, digest, cell: [(x.sum(), 2 * x, None) for x in positions]}
    x = np.arange(24.0).reshape(4, 2, 3)
    value = SharedSurrogate(world, Pace(), "d", 0, (), 0.0).evaluate(x, None, None, None)
    np.testing.assert_array_equal(value.energy, x.sum(axis=(1, 2)))
    np.testing.assert_array_equal(value.forces, 2 * x)


def test_another_processor_than_rank_0_has_is_refused(tmp_path):
    rank = Rank(None, None, tmp_path, 1, lambda activity: nullcontext())
    with pytest.raises(EnvironmentFailed, match="rank 0 has the kernels vax, another rank "):
        rank.start_engine("vax")
