"""Every scheduler: its scripts are sound, and its commands are asked as they want it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import BadSetting, EnvironmentFailed
from protocol.settings import load, plugin_names
from renkei import cli, submission, templates
from renkei.plugins import PLUGINS
from renkei.schedulers import base

DIRECTIVE = {"slurm": "#SBATCH", "pbs": "#PBS", "torque": "#PBS", "pjm": "#PJM", "local": "#!"}
NAMES = plugin_names(base.load)
PROFILES = templates.machine_names()


def wanted(name):
    return {
        "simulator": {"ranks": 8},
        "trainer": {"device": "cpu", "threads": 4},
        "scheduler": {
            "name": name,
            "walltime": "90min",
            "environment": {"MY_KEY": "a 'quoted' word"},
            "simulator": {"nodes": 2},
            "trainer": {"gpus": 1, "memory": "32G", "setup": ["echo trainer here"]},
            **({} if name == "local" else {"chain_jobs": 2}),
        },
    }


def texts(run):
    config = load(run, PLUGINS)
    return submission.plan(run, config, ["sim/sim0", "train"])[1]


def test_these_are_all():
    assert sorted(DIRECTIVE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_sound_shell_and_say_what_machine_yaml_says(name, make_run, tmp_path):
    found = texts(make_run(wanted(name)))
    for file, text in found.items():
        (tmp_path / file).write_text(text)
        assert subprocess.run(["bash", "-n", tmp_path / file], capture_output=True).stderr == b""
        head = text.partition("\nset -eu")[0].splitlines()
        assert head[0] == "#!/bin/bash"
        assert all(line.startswith("#") for line in head if line)  # a scheduler reads directives before the first command only
        assert "{" not in text.replace("$((", "").replace("${", "")
        assert "export RENKEI_JOB_END=$(( $(date +%s) + 5400 ))" in text
        assert f"python -m {'sim' if file == 'sim0.sh' else 'train'}_daemon " in text
    assert "mpirun -n 8 python -m sim_daemon" in found["sim0.sh"]
    assert "echo trainer here" in found["train.sh"]
    assert "HYDRA_LAUNCHER" not in found["sim0.sh"]  # two nodes
    if name != "local":
        assert "01:30:00" in "".join(line for line in found["train.sh"].splitlines() if line.startswith(DIRECTIVE[name]))


def test_a_trainer_with_several_gpus_is_so_many_processes(make_run):
    machine = wanted("slurm")
    machine["scheduler"]["trainer"]["gpus"] = 4
    assert "exec torchrun --standalone --nproc-per-node 4 -m train_daemon " in texts(make_run(machine))["train.sh"]


def test_ranks_on_several_nodes_are_not_forked(make_run):
    """`select` may say several, whatever `nodes` says."""
    machine = wanted("pbs")
    machine["scheduler"]["simulator"] = {"select": "2:mpiprocs=4"}
    found = texts(make_run(machine))
    assert "HYDRA_LAUNCHER" not in found["sim0.sh"]
    assert "export HYDRA_LAUNCHER=fork" in found["train.sh"]


@pytest.mark.parametrize("name", PROFILES)
def test_directives_of_the_shipped_profiles_are_accepted(name, make_run, stub):
    """By the stub's parser of options; Slurm's by sbatch itself in tests/pair."""
    run = make_run(templates.machine(name).read_text("utf-8"))
    config = load(run, PLUGINS)
    kind = config.machine.scheduler.name
    if kind == "slurm":
        return
    stub(kind)
    jobs, scripts = submission.plan(run, config, ["sim/sim0", "train"])
    submission.publish(run, jobs, scripts)
    submission.submit(jobs, config.machine.scheduler, lambda line: None)
    assert {one.state.state for one in submission.look(submission.newest(run))} == {base.State.QUEUED}


@pytest.mark.parametrize("name", ["pbs", "torque", "pjm"])
def test_a_chain_is_submitted_once_queried_and_cancelled(name, make_run, stub, renkei):
    db = stub(name)
    run = make_run(wanted(name))
    first = renkei("submit", run)
    jobs = json.loads(db.read_text())["jobs"]
    assert len(jobs) == 6
    assert "nothing is submitted" in renkei("submit", run)
    assert json.loads(db.read_text())["jobs"] == jobs
    for number, job in jobs.items():
        assert f"job {number} (" in first
        assert job["name"] in first
    chained = [job["options"].get("W") or job["options"].get("sparam") for job in jobs.values()]
    assert [bool(one) for one in chained] == [False, True, True] * 2
    ended = next(iter(jobs))
    jobs[ended]["state"] = "F"
    db.write_text(json.dumps({"next": 200, "jobs": jobs}))
    lines = renkei("status", run)
    assert lines.count(": queued") == 5
    assert "5 job(s) cancelled" in renkei("cancel", run)
    assert {job["state"] for job in json.loads(db.read_text())["jobs"].values()} <= {"F", "C"}
    assert "no job waits or runs" in renkei("cancel", run)
    assert renkei("submit", run).count("submission-0002") == 1


@pytest.mark.parametrize("name", ["pbs", "pjm"])
def test_a_command_that_dies_after_a_submission_has_left_the_name_to_find_it_by(name, make_run, stub, renkei, monkeypatch):
    db = stub(name)
    run = make_run(wanted(name))
    monkeypatch.setenv("STUB_DIE", "after")
    killed("submit", run)
    [number] = json.loads(db.read_text())["jobs"]
    monkeypatch.delenv("STUB_DIE")
    said = renkei("submit", run)
    assert f"job {number}" in said
    assert "submitted by a command that did not end" in said
    assert f"there already: sim/sim0: job {number}" in said
    assert [job["name"].rpartition("-")[2] for job in json.loads(db.read_text())["jobs"].values()] == [
        "sim0",
        "train",
        "train",
        "train",
    ]


def states(db):
    """State of each of the stub's jobs: of the simulator's, of the trainer's."""
    found = [job["state"] for job in json.loads(db.read_text())["jobs"].values()]
    return "".join(found[:3]), "".join(found[3:])


def begin(db, number):
    """The turn of the stub's job has come."""
    content = json.loads(db.read_text())
    content["jobs"][list(content["jobs"])[number]]["state"] = "R"
    db.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["pbs", "torque", "pjm"])
def test_a_job_that_has_not_begun_is_cancelled_by_name_and_another_is_asked(name, make_run, stub, renkei):
    db = stub(name)
    run = make_run(wanted(name))
    renkei("submit", run)
    waiting, ended = states(db)[0], ("C" if name == "torque" else "F")
    ids = list(json.loads(db.read_text())["jobs"])
    said = renkei("stop", run, "--name", "sim0")
    assert said.split("; ") == [
        f"sim0 of {run} only waited for its turn: job {ids[0]}, job {ids[1]}, job {ids[2]} are cancelled",
        f"`renkei submit {run} --only sim/sim0` goes on from there\n",
    ]
    assert states(db) == (3 * ended, waiting)
    assert (run / "control" / "STOP-sim0").exists(), "for a job that has begun in between"
    again = renkei("submit", run)
    assert again.count("sim/sim0: job") == 3
    assert not (run / "control" / "STOP-sim0").exists()
    begin(db, 3)
    said = renkei("stop", run, "--name", "train")
    assert f"asked train of {run} to stop; job {ids[4]}, job {ids[5]} are cancelled, whose turn had not come; " in said
    assert states(db)[1].startswith("R" + 2 * ended), "what runs is asked, not cancelled"
    assert "train-1" in renkei("submit", run).partition("control/STOP-train is there: submit again when it has ended")[0]


def test_a_job_whose_scheduler_does_not_answer_starts_nothing_when_its_turn_comes(make_run, stub, renkei, tmp_path):
    db = stub("pbs")
    run = make_run(wanted("pbs"))
    renkei("submit", run)
    (tmp_path / "stub-bin" / "qstat").write_text("#!/bin/sh\necho cannot connect to server >&2\nexit 1\n")
    said = renkei("stop", run, "--name", "sim0")
    assert said.count("\n") == 1
    assert "a job of it that still waits for its turn will start nothing (qstat: cannot connect to server" in said
    assert states(db)[0] == "QHH"
    [script] = run.glob("jobs/*/sim0.sh")
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "control/STOP is there: nothing is started\n")
    assert not (run / "sim").exists()


def test_a_simulator_without_job_or_start_cannot_be_stopped(make_run, stub, renkei):
    stub("pbs")
    run = make_run(wanted("pbs"))
    renkei("submit", run)
    renkei("cancel", run)
    assert "has not started, and no job of it waits" in renkei("stop", run, "--name", "sim0", code=2)
    assert not (run / "control").exists()


def killed(verb, run):
    """A command in a process of its own, which the stub kills."""
    words = [sys.executable, "-m", "renkei", verb, run]
    assert subprocess.run(words, capture_output=True, cwd=Path(__file__).parents[3]).returncode == -9


@pytest.fixture
def renkei(capsys):
    """renkei(verb, run, *words) -> what the command prints."""

    def call(verb, run, *words, code=0):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([verb, str(run), *words])
        said = capsys.readouterr()
        assert ended.value.code == code, said
        return said.err if code else said.out

    return call


def test_a_missing_command_and_a_silent_one_give_one_sentence():
    with pytest.raises(EnvironmentFailed, match=r"there is no no-such-sbatch on this machine; run this where jobs are submitted"):
        base.ask(["no-such-sbatch"], 1.0)
    with pytest.raises(EnvironmentFailed, match=r"sleep gave no answer within 0.2 s; .*nothing is submitted twice"):
        base.ask(["sleep", "20"], 0.2)
    with pytest.raises(EnvironmentFailed, match=re.escape("ls: ls: cannot access")):
        base.demand(["ls", "/no/such/folder"], 5.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"walltime": "soon"}, "scheduler.walltime: must be a length of time"),
        ({"chain_jobs": -1}, "scheduler.chain_jobs"),
        ({"quue": "a"}, "scheduler.quue: unknown key; did you mean queue"),
        ({"simulator": {"nodes": 20}}, r"8 rank\(s\) cannot fill 20 nodes"),
        ({"nodes": 2}, "scheduler.nodes: the trainer's job has one node, not 2; write nodes under scheduler.simulator"),
        ({"trainer": {"launcher": "srun"}}, "scheduler.trainer.launcher: the trainer needs no launcher; leave it out"),
    ],
)
def test_a_bad_key_is_named(change, message, make_run):
    machine = wanted("slurm")
    machine["scheduler"] |= change
    run = make_run(machine)
    with pytest.raises(BadSetting, match=message):
        texts(run)
