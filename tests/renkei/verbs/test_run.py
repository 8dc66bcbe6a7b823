"""run prepares the folder, starts both daemons (stand-ins here), ends both and gives the exit code."""

import sys
from types import ModuleType

import pytest

from protocol.settings import load
from protocol.store import Store
from renkei import prepare


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
    assert (stand_ins / "r" / "control" / "STOP-train").exists()
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


def test_one_simulator_joins_a_run_without_a_word_to_the_others(renkei, yaml_file, stand_ins, reports):
    prepare.run_folder(yaml_file, stand_ins / "r", [])
    (stand_ins / "r" / "control").mkdir()
    (stand_ins / "r" / "control" / "FREEZE").write_text("")
    new = "simulators.hot.sampler.ensemble.temperature_K=400"
    assert renkei("run", "r", "--name", "hot", "--set", new, "--quiet")[0] == 0
    assert (stand_ins / "r" / "sim.words").read_text() == "--name hot"
    assert [path.name for path in (stand_ins / "r" / "jobs").iterdir()] == ["sim-hot.out"]
    assert [path.name for path in (stand_ins / "r" / "control").iterdir()] == ["FREEZE"]
    assert reports == []
    assert list(load(stand_ins / "r", {}).science.simulators) == ["sim0", "hot"], "the unnamed first one stays"
    code, _, err = renkei("run", "r", "--name", "hat", "--quiet")
    assert (code, "there is none called hat; did you mean hot?" in err) == (2, True)


def test_a_living_job_is_not_disturbed_by_a_second_command(renkei, yaml_file, stand_ins, reports):
    renkei("run", yaml_file, "--into", "r", "--quiet")
    living = Store(stand_ins / "r").claim("sim/sim0")
    code, _, err = renkei("run", "r", "--quiet")
    living.close()
    assert code == 4
    assert "a living daemon plays this role already" in err
    assert [path.name for path in (stand_ins / "r" / "control").iterdir()] == ["STOP-train"], "as it was before"


@pytest.mark.parametrize(("name", "jobs"), [("pihmc", ["sim-sim0.out"]), ("sl_pihmc", ["sim-sim0.out", "train.out"])])
def test_a_trainer_is_started_where_its_weights_are_used(renkei, yaml_file, stand_ins, reports, name, jobs):
    assert renkei("run", yaml_file, "--into", "r", "--set", f"sampler.name={name}", "--quiet")[0] == 0
    assert sorted(path.name for path in (stand_ins / "r" / "jobs").iterdir()) == jobs


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


def test_two_folders_are_not_run_as_one(renkei, yaml_file, stand_ins, reports):
    yaml_file.write_text(yaml_file.read_text() + "  channel: {name: mpi}\n")
    code, _, err = renkei("run", yaml_file, "--into", "r", "--quiet")
    assert code == 2
    assert "channel mpi joins two run folders" in err
    assert not (stand_ins / "r" / "sim.words").exists()
