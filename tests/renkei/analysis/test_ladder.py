"""Exchanges and round trips, counted from rows that are written down."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.analysis import ladder
from renkei.analysis.ledger import by_rung, lowest_rung, rung, steps_of

KELVIN = (300.0, 330.0, 365.0)


def rows(paths, swaps):
    """paths (T, W): the ring at each walker; swaps: (step, lower walker, accepted)."""
    told = {(step, walker): {"swap": {"partner": walker + 1, "accepted": taken}} for step, walker, taken in swaps}
    return steps_of(
        {"event": "step", "step": t, "walker": w, "block": 1, "generation": 0, "accepted": True, "phase": "production"}
        | {"temperature_K": KELVIN[w], "replica": ring}
        | told.get((t, w), {})
        for t, rings in enumerate(paths)
        for w, ring in enumerate(rings)
    )


def test_pairs_and_round_trips():
    paths = [(0, 1, 2), (1, 0, 2), (1, 2, 0), (1, 0, 2), (0, 1, 2), (0, 2, 1), (2, 0, 1)]
    found = rows(paths, [(1, 0, True), (2, 1, True), (3, 1, True), (4, 0, True), (5, 1, True), (6, 0, True), (0, 1, False)])
    assert ladder.pairs(found) == [(300.0, 330.0, 3, 3), (330.0, 365.0, 4, 3)]
    assert ladder.pairs(found)[1].acceptance == 0.75
    np.testing.assert_array_equal(ladder.rungs_of_replicas(found)[:, 0], [0, 1, 2, 1, 0, 0, 1])
    assert ladder.round_trips(found) == 1  # ring 0; ring 2 began at the top, ring 1 has only gone up


@pytest.mark.parametrize(
    ("way", "trips"),
    [([0, 1, 2, 1, 0], 1), ([2, 1, 0], 0), ([2, 0, 2, 0], 1), ([0, 0, 2, 2, 1, 2, 0, 2, 0], 2), ([0, 1, 0], 0), ([], 0)],
)
def test_a_trip_begins_and_ends_at_the_lowest_rung(way, trips):
    assert ladder._trips(np.array(way, int), 2) == trips


def test_rows_of_one_rung():
    found = rows([(0, 1, 2), (1, 0, 2)], [])
    assert list(by_rung(found)) == list(KELVIN)
    assert lowest_rung(found).replica.tolist() == [0, 1]
    assert rung(found, 365.0).walker.tolist() == [2, 2]
    with pytest.raises(BadSetting, match=r"no rung at 310 K.*300.0, 330.0, 365.0"):
        rung(found, 310.0)


def test_without_a_ladder_there_is_one_rung_of_all_rows(sound_run):
    from renkei import run_view

    [simulator] = run_view.read(sound_run).simulators
    assert ladder.pairs(simulator.ledger) == []
    assert ladder.round_trips(simulator.ledger) == 0
    assert len(lowest_rung(simulator.ledger)) == len(simulator.ledger)
    with pytest.raises(BadSetting, match="no ladder of temperatures"):
        rung(simulator.ledger, 310.0)
