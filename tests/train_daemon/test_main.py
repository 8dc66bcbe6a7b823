"""python -m train_daemon as a real process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protocol import mpi
from protocol.errors import BadSetting
from protocol.settings import load
from protocol.store import Store
from train_daemon.__main__ import Leavers, all_complete, temperatures
from train_daemon.learners import base as learners

ROOT = Path(__file__).parents[2]
RUN = """
system: {structure: molecule.xyz, restraint: {radius_A: 3.0, k_eV_per_A2: 1.0}}
engine: {name: harmonic}
sampler: {name: sl_pihmc, ensemble: {name: nvt, temperature_K: 300}, beads: 4}
learner: {name: chebyshev_bpnn, radial: {order: 4, cutoff_A: 4.0}, angular: {order: 2, cutoff_A: 3.0}, hidden: [8]}
"""


@pytest.fixture
def run_folder(tmp_path):
    (tmp_path / "run.yaml").write_text(RUN)
    (tmp_path / "machine.yaml").write_text("trainer: {device: cpu}\nchannel: {name: files, poll_s: 0.1}\n")
    (tmp_path / "molecule.xyz").write_text("3\n\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n")
    return tmp_path


def start(*arguments):
    command = [sys.executable, "-m", "train_daemon", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def test_a_folder_without_run_yaml_is_one_sentence_and_exit_2(tmp_path):
    process = start(tmp_path / "absent")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.count("\n") == 1
    assert errors.startswith("train_daemon: ")
    assert not (tmp_path / "absent").exists()


def test_it_ends_when_every_simulator_has_completed_its_production(run_folder):
    config, store = load(run_folder, {}), Store(run_folder)
    assert all_complete(run_folder, config, store) is None
    simulator = store.claim("sim/sim0")
    simulator.heartbeat.update(complete=True)
    simulator.close("finishing")
    assert all_complete(run_folder, config, store) == "every simulator has completed its production"


def test_it_stays_for_a_simulator_that_works_or_is_named_since_it_started(run_folder):
    config, store = load(run_folder, {}), Store(run_folder)
    simulator = store.claim("sim/sim0")
    simulator.heartbeat.update(complete=True)
    simulator.close("finishing")
    joined = store.claim("sim/hot")
    assert all_complete(run_folder, config, store) is None
    joined.close("gone")
    assert all_complete(run_folder, config, store) is not None
    (run_folder / "run.yaml").write_text(RUN + "simulators: {sim0: {}, hot: {}}\n")
    assert all_complete(run_folder, config, store) is None
    (run_folder / "run.yaml").write_text(RUN + "simulators: {sim0: ")  # in an editor
    assert all_complete(run_folder, config, store) is not None


def test_in_one_launch_it_ends_when_every_simulator_of_it_has(run_folder, monkeypatch):
    store = Store(run_folder, 0.05)
    assert Leavers(store).reason() is None  # no launch
    monkeypatch.setattr(mpi, "_joined", [mpi.Joined(None, None, None, ("sim/sim0", "sim/hot", "train"), True)])
    left = Leavers(store)
    store.claim("sim/sim0").close("finishing")  # of the launch before
    assert left.reason() is None
    epochs = [store.claim("sim/sim0"), store.claim("sim/hot")]
    assert left.reason() is None
    epochs[0].close("finishing")
    assert left.reason() is None
    epochs[1].close("gone")
    assert left.reason() == "every simulator of this launch has ended"


def test_it_starts_before_any_simulator_waits_and_ends_on_a_signal(run_folder):
    process = start(run_folder)
    store = Store(run_folder)
    while process.poll() is None and (store.heartbeat("train") or {}).get("activity") != "waiting":
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "training on cpu (asked for by trainer.device)" in said
    events = [row["event"] for row in store.ledger("train")]
    assert events == ["start", "end"]
    again = start(run_folder, "--for", "0s")
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert len(store.epochs("train")) == 2


def test_temperatures_are_those_of_the_simulators(run_folder):
    text = RUN + "simulators: {sim0: {}, hot: {sampler: {ensemble: {temperature_K: 400}}}}\n"
    (run_folder / "run.yaml").write_text(text)
    store = Store(run_folder)
    joined = store.claim("sim/joined")
    joined.write_text("run.resolved.yaml", "science: {sampler: {ensemble: {temperature_K: 500.0}}}\n")
    joined.close()
    temperature = temperatures(load(run_folder, {"learner": learners.load}), store)
    assert [temperature(name) for name in ("sim0", "hot", "joined", "another")] == [300.0, 400.0, 500.0, 300.0]


def test_a_missing_temperature_is_named(run_folder):
    (run_folder / "run.yaml").write_text(RUN.replace("temperature_K: 300", ""))
    with pytest.raises(BadSetting, match=r"sampler\.ensemble\.temperature_K"):
        temperatures(load(run_folder, {"learner": learners.load}), Store(run_folder))


def test_a_learner_that_changed_since_the_run_began_is_refused_by_name(run_folder):
    assert start(run_folder, "--for", "0s").wait(60) == 0
    (run_folder / "run.yaml").write_text(RUN.replace("hidden: [8]", "hidden: [9]"))
    process = start(run_folder)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "learner.hidden changed since this run began" in errors
    (run_folder / "run.yaml").write_text(RUN.replace("beads: 4", "beads: 8"))  # the simulator judges this one
    assert start(run_folder, "--for", "0s").wait(60) == 0


WAITING = "import time; from protocol import mpi; mpi.join('sim/sim0', True); time.sleep(600)"
DEFECT = """
from protocol.channels.mpi import TWO_FOLDERS, USES_MPI, Settings


def build(*_):
    raise RuntimeError("a defect")
"""


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"run.yaml": "system: ["}, 2, "run.yaml"),
        ({"run.yaml": RUN.replace("hidden", "hiden")}, 2, "learner.hiden: unknown key"),
        ({"train/replica.json": ""}, 4, "this folder is a copy"),
        ({"machine.yaml": "channel: {name: my_lab.channel}", "my_lab/channel.py": DEFECT}, 1, "RuntimeError: a defect"),
    ],
    ids=["unreadable", "wrong setting", "refused start", "defect"],
)
def test_a_trainer_that_fails_ends_the_whole_launch(run_folder, wrong, code, said):
    (run_folder / "machine.yaml").write_text("trainer: {device: cpu}\nchannel: {name: mpi}\n")
    for name, text in wrong.items():
        (run_folder / name).parent.mkdir(exist_ok=True)
        (run_folder / name).write_text(text)
    words = [str(Path(sys.executable).parent / "mpiexec"), "-n", "1", sys.executable, "-c", WAITING, ":", "-n", "1"]
    path = os.pathsep.join([str(run_folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*words, sys.executable, "-m", "train_daemon", str(run_folder)],
        env={**os.environ, "PYTHONPATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
