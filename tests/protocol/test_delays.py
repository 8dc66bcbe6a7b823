"""What the doctor has measured of a run's nodes makes time-outs longer, never shorter."""

import json

import pytest

from protocol import delays, heartbeat
from protocol.records import PeerState
from protocol.store import Store


def measured(root, host, seconds):
    (root / "jobs").mkdir(exist_ok=True)
    (root / "jobs" / f"probe-{host}.json").write_text(json.dumps({"host": host, "delay_s": 0.1, "slowest_s": seconds}))


def test_without_a_measurement_or_with_a_fast_one_the_defaults_hold(tmp_path):
    assert delays.of_run(tmp_path) == delays.Delays(60.0, 0.0, 0.0)
    measured(tmp_path, "gpu1", 0.2)
    assert delays.of_run(tmp_path) == delays.Delays(60.0, 2.0, 0.2)


def test_the_slowest_node_counts_within_a_bound(tmp_path):
    measured(tmp_path, "gpu1", 12.0)
    measured(tmp_path, "gpu2", 3.0)
    assert delays.of_run(tmp_path) == delays.Delays(120.0, 120.0, 12.0)
    measured(tmp_path, "gpu3", 1e9)
    assert delays.of_run(tmp_path).late_s == delays.LONGEST_S


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"slowest_s": "long"}', '{"slowest_s": null}', '{"slowest_s": -5}', '{"slowest_s": true']
)
def test_what_cannot_be_read_was_not_measured(tmp_path, text):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "probe-x.json").write_text(text)
    assert delays.of_run(tmp_path) == delays.Delays(60.0, 0.0, 0.0)


def test_a_heartbeat_may_be_silent_for_longer(tmp_path, monkeypatch):
    epoch = Store(tmp_path).claim("sim/hot")
    epoch.heartbeat.close("alive")
    monkeypatch.setattr(heartbeat.process, "is_gone", lambda beat: False)  # as seen from another machine
    now, path = [0.0], epoch.folder / "heartbeat.json"
    patient = heartbeat.PeerWatch(path, lambda: now[0], silence_s=100.0)
    usual = heartbeat.PeerWatch(path, lambda: now[0])
    for seconds, expected in ((0.0, "alive alive"), (50.0, "alive gone"), (101.0, "gone gone")):
        now[0] = seconds
        assert f"{patient.state()} {usual.state()}" == expected
    measured(tmp_path, "gpu1", 12.0)
    store = Store(tmp_path)
    assert store.peer("sim/hot") is PeerState.ALIVE
    assert store._watches["sim/hot"][1]._silence_s == 120.0
