"""A tiny run of the memory benchmark, and its arithmetic."""

import time

import numpy as np
import pytest

from benchmarks import processes, training_memory

CELLS = (1, 1, 1)


def test_a_line_through_the_figures():
    slope, start = training_memory.line([100, 200, 400], [15.0, 25.0, 45.0])
    assert (slope, start) == pytest.approx((0.1, 5.0))


def test_a_tiny_fit_tells_memory_and_times():
    told = training_memory.fitted(20, CELLS, 0.01)
    assert told.keys() == {"memory_MiB", "scratch_MiB", "taking_in_s", "epoch_s"}
    assert told["epoch_s"] > 0


def test_frames_differ_and_repeat():
    data, again = training_memory.displaced(3, (1, 1, 2)), training_memory.displaced(3, (1, 1, 2))
    assert len(data.samples[0].forces) == 18
    assert len({sample.structure.positions.tobytes() for sample in data.samples}) == 3
    np.testing.assert_array_equal(data.samples[2].forces, again.samples[2].forces)


def test_a_process_of_its_own_does_not_begin_with_our_peak(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    block = np.ones(300 * 2**17)
    assert block.nbytes / 2**20 < processes.memory_MiB("RssAnon") <= processes.memory_MiB()
    assert 0 < processes.alone(processes.memory_MiB) < 250


def test_a_watch_sees_what_is_there_for_a_moment():
    before = processes.memory_MiB("RssAnon")
    with processes.Watch() as watch:
        block = np.ones(50 * 2**17)
        end = time.monotonic() + 20
        while watch.most_MiB - before <= 45 and time.monotonic() < end:
            time.sleep(0.01)
        del block
    assert watch.most_MiB - before > 45
