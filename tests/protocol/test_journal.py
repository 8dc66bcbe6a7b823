import errno
import os

import pytest

from protocol.errors import EnvironmentFailed, Torn
from protocol.journal import Journal, read, read_prefix


def test_rows_come_back(tmp_path):
    log = Journal(tmp_path / "j")
    log.append({"event": "step", "step": 0, "log_ratio": float("-inf")})
    log.append({"event": "step", "step": 1}, durable=True)
    assert log.rows_written == 2
    assert read(tmp_path / "j") == [{"event": "step", "step": 0, "log_ratio": None}, {"event": "step", "step": 1}]
    log.close()
    log.close()
    assert read(tmp_path / "none") == []


@pytest.mark.parametrize("torn", [b'{"step": 2', b'{"step": 2}', b"\0\0\0\0", b"{", b"\0\0\n\0"])
def test_torn_tail_is_repaired(tmp_path, torn):
    """Whatever a crash leaves of the last row is cut off; the next row stands on its own line."""
    log = Journal(tmp_path / "j")
    log.append({"step": 0})
    log.append({"step": 1})
    log.close()
    with open(tmp_path / "j", "ab") as handle:
        handle.write(torn)
    assert [row["step"] for row in read(tmp_path / "j")] == [0, 1]
    again = Journal(tmp_path / "j")
    assert again.rows_written == 2
    again.append({"step": 9})
    again.close()
    assert [row["step"] for row in read(tmp_path / "j")] == [0, 1, 9]


def test_every_cut_of_the_last_row(tmp_path):
    log = Journal(tmp_path / "j")
    log.append({"step": 0})
    log.append({"step": 1, "text": "é"})
    log.close()
    whole = (tmp_path / "j").read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        (tmp_path / "k").write_bytes(whole[:cut])
        assert read(tmp_path / "k") == [{"step": 0}]
        assert Journal(tmp_path / "k").rows_written == 1
        assert (tmp_path / "k").read_bytes() == whole[:first]


def test_damage_in_the_middle_is_told(tmp_path):
    (tmp_path / "j").write_bytes(b'{"a": 1}\nrubbish\n{"a": 2}\n')
    with pytest.raises(Torn, match="line 2"):
        read(tmp_path / "j")
    assert read_prefix(tmp_path / "j") == [{"a": 1}]
    with pytest.raises(Torn, match="line 2"):
        Journal(tmp_path / "j")
    assert (tmp_path / "j").read_bytes().endswith(b'{"a": 2}\n')


def test_a_row_whose_fsync_failed_does_not_count_and_the_rows_before_it_are_written_anew(tmp_path, monkeypatch):
    """A failed fsync may have lost rows that it did not name: what was not promised is written again before the next row."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"row": 0}, durable=True)
    journal.append({"row": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        with pytest.raises(EnvironmentFailed, match="failed"):
            journal.append({"row": 2}, durable=True)
    with open(path, "r+b") as file:  # the disk lost row 1
        file.seek(path.stat().st_size // 3)
        file.write(bytes(40))
    assert journal.rows_written == 2
    journal.append({"row": 3}, durable=True)
    journal.close()
    assert read(path) == [{"row": 0}, {"row": 1}, {"row": 3}]


def test_half_a_row_is_taken_back(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"row": 0}, durable=True)
    real, calls = os.write, []

    def first_half_then_full(fd, data):
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, bytes(data[:2]))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", first_half_then_full)
        with pytest.raises(EnvironmentFailed, match="full"):
            journal.append({"row": 1}, durable=True)
    journal.append({"row": 2}, durable=True)
    journal.close()
    assert read(tmp_path / "journal.jsonl") == [{"row": 0}, {"row": 2}]
