import errno
import re

from protocol.log import close_log, open_log


def test_lines_for_people(tmp_path, capsys):
    log = open_log(tmp_path / "sim.log", "test.log")
    log.info("step %d", 7)
    log.debug("hidden")
    close_log(log)
    line = (tmp_path / "sim.log").read_text()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO    step 7\n", line)
    assert capsys.readouterr().out == line
    again = open_log(tmp_path / "sim.log", "test.log")
    again.info("step 8")
    close_log(again)
    assert (tmp_path / "sim.log").read_text().count("\n") == 2


def test_a_full_disk_is_said_once(tmp_path, capsys, monkeypatch):
    log = open_log(tmp_path / "sim.log", "test.full")
    log.info("opens the file")
    stream = log.handlers[0].stream

    class Full:
        def write(self, text):
            raise OSError(errno.ENOSPC, "disk full")

        flush = close = lambda self: None

    monkeypatch.setattr(log.handlers[0], "stream", Full())
    log.info("one")
    log.info("two")
    stream.close()
    close_log(log)
    shown = capsys.readouterr()
    assert shown.err.count("disk full") == 1
    assert shown.out.count("\n") == 3
