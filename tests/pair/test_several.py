"""Two simulators feed one trainer: one joins late, is killed, comes back, is stopped alone, comes back, and ends last."""

import json
import os
import signal
import sys
from pathlib import Path

import lazy
import numpy as np
import pytest

from protocol import checkpoint
from protocol.store import Store
from renkei import trajectory
from renkei.cli import main

HOT = "simulators.hot={system: {structure: eight.xyz}, sampler: {ensemble: {temperature_K: 90}, walkers: 3}}"


@pytest.fixture
def pair(make_pair, tmp_path, monkeypatch):
    """The run of `cold` alone; the structure of the other one lies in its folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    lazy.lay_out(tmp_path)
    (tmp_path / "several.yaml").write_text(lazy.SCIENCE)
    made = make_pair("several", source=tmp_path / "several.yaml")
    lazy.lay_out(made.run)
    return made


def renkei(pair, *words):
    """Start a command of renkei's."""
    return pair.start(sys.executable, "-m", "renkei", *words)


def done(pair, process, seconds=60):
    """(exit code, what was said) of a process that ends by itself."""
    pair.wait_for(lambda: process.poll() is not None, seconds)
    return process.returncode, process.output.read_text()


def used(pair, name):
    """Whether a published model has driven steps of a simulator."""
    return any(row["generation"] >= 0 for row in pair.rows(role=f"sim/{name}"))


def noted(pair, name):
    """What the trainer has noted of a simulator, in order."""
    return [row["what"] for row in pair.rows("simulator", "train") if row["simulator"] == name]


def course(pair):
    """From the first start to the end of all three."""
    trainer, cold = pair.trainer(), pair.start(sys.executable, "-m", "sim_daemon", str(pair.run))
    pair.wait_for(lambda: len(pair.rows(role="sim/cold")) > 6)
    join = ("run", str(pair.run), "--name", "hot", "--quiet")
    hot = renkei(pair, *join, "--set", HOT)
    pair.wait_for(lambda: used(pair, "hot") and used(pair, "cold") and noted(pair, "hot") == ["joined"])
    os.kill(Store(pair.run).heartbeat("sim/hot")["pid"], signal.SIGKILL)
    assert "was ended by signal 9" in done(pair, hot)[1]
    pair.wait_for(lambda: noted(pair, "hot") == ["joined", "died"])
    before, hot = len(pair.rows(role="sim/hot")), renkei(pair, *join)
    pair.wait_for(lambda: len(pair.rows(role="sim/hot")) > before + 9 and len(noted(pair, "hot")) == 3)  # it is seen at work
    pair.control("STOP-hot")
    assert done(pair, hot)[0] == 0
    pair.wait_for(lambda: noted(pair, "hot") == ["joined", "died", "joined", "left"])
    assert cold.poll() is None
    stranger(pair)
    pair.control("FREEZE-cold")
    assert done(pair, cold)[0] == 0
    pair.wait_for(lambda: noted(pair, "cold") == ["joined", "completed"])
    hot = renkei(pair, *join)
    pair.wait_for(lambda: len(noted(pair, "hot")) == 5)
    assert trainer.poll() is None, "a simulator has work left"
    pair.control("FREEZE-hot")
    assert done(pair, hot)[0] == 0
    assert done(pair, trainer)[0] == 0
    assert noted(pair, "hot")[4:] == ["joined", "completed"]


def stranger(pair):
    """A simulator with another engine is refused in one sentence, and nothing of it is left."""
    text = (pair.run / "run.yaml").read_text()
    (pair.run / "run.yaml").write_text(text.replace("0.01032", "0.02").replace("hot:", "odd: {}, hot:"))
    code, said = done(pair, pair.start(sys.executable, "-m", "sim_daemon", str(pair.run), "--name", "odd"))
    assert code == 4, said
    assert "simulator odd has another engine.epsilon_eV than simulator cold of this run" in said
    assert said.count("\n") == 1
    assert not (pair.run / "sim" / "odd").exists()
    (pair.run / "run.yaml").write_text(text)


def test_one_joins_late_dies_comes_back_leaves_and_ends_last(pair, make_pair, tmp_path, monkeypatch, capsys):
    course(pair)
    store = Store(pair.run)
    [last] = store.epochs("train")
    consumed = checkpoint.load((last.folder / "checkpoint.h5").read_bytes())["batches"]
    sent = [f"{p.sender}/{p.epoch}/{p.number}" for name in ("cold", "hot") for p in store.packets(f"sim/{name}")]
    assert sorted(consumed) == sorted(sent), "each batch once"
    assert {len(store.read_batch(store.packets(f"sim/{name}")[0]).labels[0].structure.numbers) for name in ("cold", "hot")} == {
        4,
        8,
    }
    monkeypatch.setenv("LAZY_S", "0")
    again = make_pair("again", HOT, source=tmp_path / "several.yaml")
    words = [sys.executable, "-m", "sim_daemon", str(again.run), "--replay", str(pair.run), "--name"]
    replays = {name: again.start(*words, name) for name in ("cold", "hot")}
    for name, process in replays.items():
        assert done(again, process, 400)[0] == 0
        one, two = (trajectory.read(Store(run), f"sim/{name}") for run in (pair.run, again.run))
        np.testing.assert_array_equal(one.step, np.arange(1, one.step[-1] + 1))
        np.testing.assert_array_equal(one.positions, two.positions)
    views(pair.run, len(sent), capsys)


def views(run, batches, capsys):
    """Every verb that looks at a run names both."""

    def told(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert ended.value.code in (0, 11, 12), words  # frozen by hand, and 20 steps are too few to be quoted
        return capsys.readouterr().out

    status = json.loads(told("status", run, "--json"))
    assert {name: one["phase"] for name, one in status["simulators"].items()} == {"cold": "done", "hot": "done"}
    assert sum(status["trainer"]["batches"].values()) == batches
    shown = told("status", run)
    assert "sim/cold" in shown
    assert "batches that the trainer has learned from: cold" in shown
    assert json.loads(told("audit", run, "--json"))["simulators"].keys() == {"cold", "hot"}
    told("report", run)
    page, report = (run / "report" / "index.html").read_text(), json.loads((run / "report" / "report.json").read_text())
    assert "60 K, 90 K" in page
    assert "Simulator hot" in page
    assert report["weights"]["generations"][0]["simulators"].keys() == {"cold", "hot"}
    lines = told("analyze", run, "--observable", "potential_energy_eV").splitlines()
    assert [line for line in lines if line in ("cold", "hot")] == ["cold", "hot"]
