import errno
import json
import os
import time

import pytest

from protocol import atomic, heartbeat
from protocol.errors import EnvironmentFailed
from protocol.heartbeat import Heartbeat, PeerWatch
from protocol.records import PeerState


def beat(path, counter, **changes):
    content = {"counter": counter, "state": "alive", "period_s": 2.0, "host": "far", "boot": "b", "pid": 1, "unix": time.time()}
    path.write_text(json.dumps({**content, **changes}))


@pytest.fixture
def clock():
    class Clock:
        now = 1000.0

        def __call__(self):
            return self.now

    return Clock()


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_beats_and_facts(tmp_path):
    path = tmp_path / "heartbeat.json"
    mine = Heartbeat(path, period_s=0.02)
    first = heartbeat.read(path)
    assert first["pid"] == os.getpid()
    assert first["state"] == "alive"
    mine.update(step=3, phase="adapt")
    mine.update(PeerState.PAUSED, step=4)
    wait_for(lambda: heartbeat.read(path)["counter"] > first["counter"] + 1)
    second = heartbeat.read(path)
    assert (second["step"], second["phase"], second["state"]) == (4, "adapt", "paused")
    mine.close()
    assert heartbeat.read(path)["state"] == "gone"
    assert os.listdir(tmp_path) == ["heartbeat.json"]


def test_facts_cannot_forge_the_beat(tmp_path):
    mine = Heartbeat(tmp_path / "h", period_s=10)
    mine.update(counter="x", pid=-5)
    mine.close()
    assert heartbeat.read(tmp_path / "h")["counter"] == 2
    assert heartbeat.read(tmp_path / "h")["pid"] == os.getpid()


def test_a_full_disk_does_not_end_the_thread(tmp_path, monkeypatch, caplog):
    path = tmp_path / "heartbeat.json"
    real = os.write

    def full(*_):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        mine = Heartbeat(path, period_s=0.02)
        wait_for(lambda: mine._failures > 2)
        assert "full" in mine.failure
    assert os.write is real
    wait_for(lambda: mine.failure is None)
    mine.close()
    assert heartbeat.read(path)["failed_beats"] > 2
    assert caplog.text.count("heartbeat not written") == 1


def test_any_failure_of_the_environment_is_survived(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise EnvironmentFailed("no")

    monkeypatch.setattr(atomic, "replace_bytes", fail)
    mine = Heartbeat(tmp_path / "h", period_s=10)
    assert mine.failure == "no"
    mine.close()


def test_counter_decides_not_the_clock(tmp_path, clock):
    """Clocks that differ by hours, and jump, change nothing; a counter that stands still does."""
    path = tmp_path / "heartbeat.json"
    watch = PeerWatch(path, clock)
    assert watch.state() is PeerState.ABSENT
    for counter in range(50):
        beat(path, counter, unix=time.time() + (-1) ** counter * 3600 * 5)
        clock.now += 15.0
        assert watch.state() is PeerState.ALIVE
    clock.now += 19.0
    assert watch.state() is PeerState.ALIVE
    clock.now += 2.0
    beat(path, 49, unix=time.time())  # a fresh time stamp, the old counter
    assert watch.state() is PeerState.GONE
    beat(path, 50)
    assert watch.state() is PeerState.ALIVE
    assert watch.facts()["counter"] == 50


def test_states_as_told(tmp_path, clock):
    path = tmp_path / "heartbeat.json"
    watch = PeerWatch(path, clock)
    for counter, state in enumerate(("paused", "finishing", "gone", "alive")):
        beat(path, counter, state=state)
        assert watch.state() == state


def test_a_dead_process_of_this_machine_is_gone_at_once(tmp_path, kill_at):
    path = tmp_path / "heartbeat.json"
    assert kill_at(5, lambda: (Heartbeat(path), Heartbeat(path)))
    assert heartbeat.read(path)["state"] == "alive"
    assert PeerWatch(path).state() is PeerState.GONE


@pytest.mark.parametrize("rubbish", ["", "{", "[]", '{"counter": "x"}', '{"counter": 1, "state": "alive", "period_s": -1}'])
def test_rubbish_is_no_heartbeat(tmp_path, clock, rubbish):
    path = tmp_path / "heartbeat.json"
    path.write_text(rubbish)
    watch = PeerWatch(path, clock)
    assert watch.state() is PeerState.ABSENT
    beat(path, 1)
    assert watch.state() is PeerState.ALIVE
    path.write_text(rubbish)
    assert watch.state() is PeerState.ALIVE
    clock.now += 100
    assert watch.state() is PeerState.GONE
