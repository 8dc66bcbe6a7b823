"""Arrays on scratch: what went in comes out, growth keeps old views, a full disk is one sentence and loses nothing."""

import errno
import os

import numpy as np
import pytest

from protocol.errors import EnvironmentFailed
from train_daemon.scratch import ScratchArray


def test_rows_come_back_after_growth_and_the_file_has_no_name(tmp_path):
    array, rng = ScratchArray(tmp_path, (2, 3), np.float32), np.random.default_rng(0)
    assert array.rows.shape == (0, 2, 3)
    first, second = rng.random((5, 2, 3), np.float32), rng.random((4000, 2, 3), np.float32)
    array.append(first)
    view = array.rows
    array.append(second)
    array.append(second[:0])
    np.testing.assert_array_equal(array.rows, np.concatenate([first, second]))
    np.testing.assert_array_equal(view, first)
    assert not list(tmp_path.iterdir())


def test_it_converts_and_refuses_other_shapes():
    array = ScratchArray(None, (3,), np.int32)
    array.append(np.arange(6.0).reshape(2, 3))
    assert array.rows.dtype == np.int32
    with pytest.raises(ValueError, match="expected"):
        array.append(np.zeros((2, 4)))


def test_a_full_disk_is_told_and_what_was_there_stays(tmp_path, monkeypatch):
    array = ScratchArray(tmp_path, (3,), np.float64)
    array.append(np.ones((2, 3)))

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(EnvironmentFailed, match="No space left on device; make room there") as caught:
            array.append(np.zeros((7, 3)))
    assert str(tmp_path) in str(caught.value)
    array.append(np.full((1, 3), 2.0))
    np.testing.assert_array_equal(array.rows[:, 0], [1, 1, 2])


def test_short_writes_are_gone_on_with(monkeypatch):
    array, whole = ScratchArray(None, (2,), np.int64), os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, at: whole(handle, data[:7], at))
    array.append(np.arange(10).reshape(5, 2))
    np.testing.assert_array_equal(array.rows.ravel(), np.arange(10))


def test_a_folder_that_is_absent_is_named(tmp_path):
    with pytest.raises(EnvironmentFailed, match=r"absent.*No such file"):
        ScratchArray(tmp_path / "absent", (1,), np.float32)
