"""Trajectories over several starts: each step once, from the start whose row of it counts."""

import numpy as np
import pytest

from protocol.errors import Torn
from protocol.store import Store
from renkei import trajectory


def frames(steps, value):
    return [(step, "adapt", 0, np.full((1, 2, 3, 3), float(value))) for step in steps]


def start(store, steps, kept, segment):
    """One start of the simulator that writes `steps`, of which its checkpoint keeps those up to `kept`."""
    epoch = store.claim("sim/sim0")
    epoch.journal.append({"event": "start", "epoch": epoch.number})
    for step in steps:
        epoch.journal.append({"event": "step", "step": step})
        if step == kept:
            epoch.save_checkpoint({"cursor": {"batch": -1, "generation": -1, "row": epoch.journal.rows_written}})
    if segment:
        epoch.publish_trajectory(steps[-1], segment)
    epoch.close()


def test_a_sound_run(sound_run):
    found = trajectory.read(Store(sound_run), "sim/sim0")
    assert found.step.tolist() == list(range(1, 471))
    assert found.positions.shape == (470, 2, 4, 3, 3)
    assert found.numbers.tolist() == [8, 1, 1]
    production = trajectory.select(found, found.phase == trajectory.PRODUCTION)
    assert production.step[0] == 71
    assert set(production.block) == {1}


def test_steps_that_were_repeated_or_abandoned(tmp_path, trajectory_bytes):
    store = Store(tmp_path, period_s=0.05)
    start(store, [1, 2, 3, 4], kept=2, segment=trajectory_bytes(frames([1, 2, 3, 4], 1)))
    start(store, [3, 4, 5], kept=5, segment=trajectory_bytes(frames([2, 3, 4, 5], 2)))
    start(store, [6, 7], kept=7, segment=trajectory_bytes(frames([6, 7], 3)))
    found = trajectory.read(store, "sim/sim0")
    assert found.step.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert found.positions[:, 0, 0, 0, 0].tolist() == [1, 1, 2, 2, 2, 3, 3]


def test_an_abandoned_step_that_nobody_has_repeated_yet(tmp_path, trajectory_bytes):
    store = Store(tmp_path, period_s=0.05)
    start(store, [1, 2, 3], kept=2, segment=trajectory_bytes(frames([1, 2, 3], 1)))
    store.claim("sim/sim0").close()
    assert trajectory.read(store, "sim/sim0").step.tolist() == [1, 2]


def test_none_yet(tmp_path):
    store = Store(tmp_path, period_s=0.05)
    start(store, [1], kept=1, segment=None)
    assert trajectory.read(store, "sim/sim0") is None


def test_a_damaged_segment(tmp_path, trajectory_bytes):
    data = trajectory_bytes(frames([1, 2], 1))
    for bad in (data[:700], b"", trajectory_bytes(frames([1, 2], np.nan))):
        path = tmp_path / "000001.h5"
        path.write_bytes(bad)
        with pytest.raises(Torn):
            trajectory.read_segment(path)
