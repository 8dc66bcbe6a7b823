"""The journal's step rows as arrays."""

import numpy as np

from renkei.analysis import ledger


def row(step, walker, **changes):
    base = {"event": "step", "step": step, "walker": walker, "phase": "adapt", "block": 0, "generation": 0, "accepted": True}
    base |= {"log_ratio": 0.5, "observables": {"energy_eV": 1.0 * step}, "seconds": {}, "engine_calls": 3, "unix": 5.0}
    return {**base, **changes}


ROWS = [
    {"event": "start", "epoch": 1},
    row(1, 0, seconds={"engine": 2.0}),
    row(1, 1, log_ratio=None, accepted=False),
    row(2, 1, phase="production", block=1),
    row(2, 0, phase="production", block=1, observables={}),
    row(3, 0, phase="production", block=2),
]


def test_rows_are_ordered_by_step_and_walker():
    table = ledger.steps_of(ROWS)
    assert table.step.tolist() == [1, 1, 2, 2, 3]
    assert table.walker.tolist() == [0, 1, 0, 1, 0]
    assert table.engine_calls.sum() == 15


def test_what_is_not_known_is_nan_and_no_time_is_zero():
    table = ledger.steps_of(ROWS)
    assert np.isnan(table.log_ratio).tolist() == [False, True, False, False, False]
    assert np.isnan(table.observables["energy_eV"]).tolist() == [False, False, True, False, False]
    assert table.seconds["engine"].tolist() == [2.0, 0.0, 0.0, 0.0, 0.0]
    assert np.isnan(table.log_ratio_model).all()


def test_phases_and_blocks():
    table = ledger.steps_of(ROWS)
    assert len(ledger.in_phase(table, "adapt")) == 2
    blocks = ledger.production_blocks(table)
    assert {number: len(rows) for number, rows in blocks.items()} == {1: 2, 2: 1}
    assert blocks[2].observables["energy_eV"].tolist() == [3.0]


def test_walkers_have_equal_step_counts():
    table = ledger.steps_of(ROWS)
    np.testing.assert_array_equal(ledger.by_walker(table, table.step), [[1, 1], [2, 2]])


def test_an_empty_journal():
    table = ledger.steps_of([])
    assert len(table) == 0
    assert ledger.production_blocks(table) == {}
    assert ledger.by_walker(table, table.step).shape == (0, 0)
