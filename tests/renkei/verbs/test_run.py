"""run prepares the folder, starts both daemons (stand-ins here), ends both and gives the exit code."""

import sys
from types import ModuleType

import pytest


@pytest.fixture
def reports(monkeypatch):
    """Folders that a report was asked for."""
    asked = []
    module = ModuleType("renkei.verbs.report")
    module.report = asked.append
    monkeypatch.setitem(sys.modules, "renkei.verbs.report", module)
    return asked


def test_a_yaml_is_run_and_reported(renkei, yaml_file, stand_ins, reports):
    code, _, err = renkei("run", yaml_file, "--for", "10min", "--steps", 5, "--set", "seed=3", "--quiet")
    run = stand_ins / "runs" / "one"
    assert (code, err) == (0, "")
    assert (run / "sim.words").read_text() == "--name sim0 --for 10min --steps 5"
    assert (run / "train.words").read_text() == "--for 10min"
    assert [str(path) for path in reports] == ["runs/one"]


def test_a_run_folder_again_without_the_old_stop(renkei, yaml_file, stand_ins, reports):
    renkei("run", yaml_file, "--into", "r", "--quiet")
    assert (stand_ins / "r" / "control" / "STOP").exists()
    (stand_ins / "r" / "control" / "FREEZE").write_text("")
    assert renkei("resume", "r", "--quiet")[0] == 0
    assert not (stand_ins / "r" / "control" / "FREEZE").exists()
    assert len(reports) == 2


def test_several_simulators_feed_one_trainer(renkei, yaml_file, stand_ins, reports):
    text = yaml_file.read_text().replace(
        "machine:", "  simulators: {cold: {}, hot: {sampler: {ensemble: {temperature_K: 400}}}}\nmachine:"
    )
    yaml_file.write_text(text)
    assert renkei("run", yaml_file, "--into", "r", "--quiet")[0] == 0
    assert sorted(path.name for path in (stand_ins / "r" / "jobs").iterdir()) == ["sim-cold.out", "sim-hot.out", "train.out"]


def test_a_failing_daemon_gives_its_code_and_no_report(renkei, yaml_file, stand_ins, reports):
    (stand_ins / "r").mkdir()
    (stand_ins / "r" / "mode").write_text("fail")
    code, _, err = renkei("run", yaml_file, "--into", "r", "--quiet")
    assert code == 3
    assert err.startswith(
        "renkei: the simulator ended with exit code 3: sim_daemon: the engine cannot be used (r/jobs/sim-sim0.out)"
    )
    assert reports == []


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--for", "soon"], 2, "not a length of time: 'soon'"),
        (["--replay", "nowhere"], 2, "nowhere: is no run folder; --replay wants"),
        (["--set", "smapler.beads=3"], 2, "did you mean sampler?"),
        (["--into", "file/run"], 5, "file"),
        (["--ranks", "0"], 2, "--ranks"),
    ],
)
def test_nothing_starts_if_anything_is_wrong(renkei, yaml_file, stand_ins, reports, words, code, sentence):
    (stand_ins / "file").write_text("")
    got, _, err = renkei("run", yaml_file, *words)
    assert got == code
    assert sentence in err
    assert not (stand_ins / "runs" / "one" / "sim.words").exists()


def test_resume_wants_a_run_folder(renkei, yaml_file, stand_ins):
    code, _, err = renkei("resume", yaml_file)
    assert code == 2
    assert "is no run folder; `renkei run FILE.yaml` begins a run" in err
