"""status reads and never writes; exit 13 when a job died without a word."""

import json

import pytest

from protocol import process


@pytest.fixture
def run(tmp_path, yaml_file, renkei):
    """A run folder whose simulator has done two steps; a heartbeat of this very process."""
    renkei("init", tmp_path / "run", "--config", "toy")
    epoch = tmp_path / "run" / "sim" / "sim0" / "epoch-0001"
    epoch.mkdir(parents=True)
    (epoch / "epoch.json").write_text(json.dumps({"schema": 1, "epoch": 1, "adopted": None, "controls": []}))
    beat = {
        **process.identity(),
        "counter": 3,
        "period_s": 2.0,
        "state": "alive",
        "phase": "adapt",
        "step": 2,
        "activities": {"engine": 3.0, "io": 1.0},
    }
    (epoch / "heartbeat.json").write_text(json.dumps(beat))
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


def test_a_folder_that_has_not_started(renkei, tmp_path):
    renkei("init", tmp_path / "new", "--config", "toy")
    assert renkei("status", tmp_path / "new")[0] == 0
