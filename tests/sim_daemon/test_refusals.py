"""An engine that refuses everything stops the run."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import EngineFailed
from protocol.records import Phase
from sim_daemon.refusals import MOST_REFUSED, Refusals
from sim_daemon.samplers.base import Info, Plan, Point

PLAN = Plan(Phase.PRODUCTION, 1, 0, "", 0.5, 80.0)


def info(reason):
    point = Point(0, (0,), np.zeros((1, 1, 3)), (None,), (reason,), np.eye(3))
    return Info(False, "rejected: engine_failure" if reason else "rejected", np.nan, 0, 0, 9, 5.0, (point,), 2, 2, {})


BAD, WALL, GOOD = info("engine_failure: SCF"), info("guard: largest force"), info(None)


def test_as_many_as_are_allowed_and_one_more():
    told = Refusals()
    for _ in range(MOST_REFUSED - 1):
        told.observe(PLAN, [GOOD, BAD])
    with pytest.raises(EngineFailed, match="refused 20 proposals of walker 1 in a row: engine_failure: SCF"):
        told.observe(PLAN, [GOOD, BAD])


def test_one_that_has_labels_begins_anew():
    told = Refusals()
    for one in [*[BAD] * (MOST_REFUSED - 1), GOOD] * 3:
        told.observe(PLAN, [one])


def test_guards_teach_in_adapt_and_count_in_production():
    told = Refusals()
    for _ in range(3 * MOST_REFUSED):
        told.observe(replace(PLAN, phase=Phase.ADAPT), [WALL])
    for _ in range(MOST_REFUSED - 1):
        told.observe(PLAN, [WALL])
    with pytest.raises(EngineFailed):
        told.observe(PLAN, [WALL])
