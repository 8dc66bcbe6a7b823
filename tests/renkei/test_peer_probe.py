"""Two probes in one folder, taking turns."""

import json
import time

from renkei.peer_probe import Probe, meet


def exchange(one, other, turns=40, between=lambda: None):
    found = [None, None]
    for _ in range(turns):
        for index, probe in enumerate((one, other)):
            between()
            found[index] = probe.turn() or found[index]
        if all(found):
            return found
    return found


def test_both_sides_measure_the_same_delay_and_opposite_clocks(tmp_path):
    one, other = Probe(tmp_path), Probe(tmp_path, clock=lambda: time.time() + 7200.0)
    mine, theirs = exchange(one, other, between=lambda: time.sleep(0.02))
    assert 0.01 <= mine.delay_s <= mine.slowest_s
    assert abs(mine.clock_s - 7200.0) < 60
    assert abs(theirs.clock_s + 7200.0) < 60


def test_what_a_dead_doctor_left_neither_answers_nor_disturbs(tmp_path):
    dead = Probe(tmp_path)
    one = Probe(tmp_path)
    assert [one.turn() for _ in range(20)] == [None] * 20
    other = Probe(tmp_path)
    (dead.folder / "ping.json").write_text("{")
    assert all(exchange(one, other))


def test_nobody_is_there_and_nothing_is_left(tmp_path):
    assert meet(tmp_path, 0.2) is None
    assert list((tmp_path / "jobs" / "probes").iterdir()) == []


def test_the_result_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("renkei.peer_probe.FAREWELL_S", 0.2)
    other = Probe(tmp_path)
    monkeypatch.setattr("renkei.peer_probe.time.sleep", lambda seconds: other.turn())
    found = meet(tmp_path, 20.0)
    assert json.loads((tmp_path / "jobs" / f"probe-{found.host}.json").read_text())["delay_s"] == found.delay_s
