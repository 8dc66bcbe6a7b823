"""status reads and never writes; exit 13 when a job died without a word."""

import json

import pytest

from protocol.store import Store


@pytest.fixture
def run(tmp_path, renkei):
    """A run folder whose simulator, this very process, is alive and has done nothing yet."""
    renkei("init", tmp_path / "run", "--config", "water-tetramer")
    epoch = Store(tmp_path / "run").claim("sim/sim0")
    epoch.heartbeat.update(phase="adapt", step=2, activities={"engine": 3.0, "io": 1.0})
    epoch.heartbeat.close("alive")  # the last beat stays; its thread is gone
    return tmp_path / "run"


def snapshot(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def test_status_of_a_living_simulator(renkei, run):
    before = snapshot(run)
    code, out, _ = renkei("status", run)
    assert code == 0
    assert "sim/sim0" in out
    assert "has never started" in out
    assert snapshot(run) == before


def test_json(renkei, run):
    code, out, _ = renkei("status", run, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["simulators"]["sim0"]["state"] == "alive"
    assert found["simulators"]["sim0"]["activities_s"] == {"engine": 3.0, "io": 1.0}
    assert (found["trainer"], found["findings"]) == (None, [])


def test_a_dead_job_is_a_finding(renkei, run):
    path = run / "sim" / "sim0" / "epoch-0001" / "heartbeat.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": 2**22 - 1}))
    code, out, _ = renkei("status", run, "--json")
    assert code == 13
    assert json.loads(out)["findings"] == ["sim/sim0 ended without a word"]


def test_a_job_that_ended_in_order_is_no_finding(renkei, run):
    path = run / "sim" / "sim0" / "epoch-0001" / "heartbeat.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pid": 2**22 - 1, "state": "finishing"}))
    assert renkei("status", run)[0] == 0


def test_a_folder_that_has_not_started(renkei, tmp_path):
    renkei("init", tmp_path / "new", "--config", "water-tetramer")
    assert renkei("status", tmp_path / "new")[0] == 0
