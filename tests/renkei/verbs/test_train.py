"""`renkei train` as a process and in this one: exit codes, interruption, what is printed."""

import json
import signal
import subprocess
import sys

import pytest

SMALL = ["--set", "learner.hidden=[6]", "--set", "learner.angular.order=1", "--set", "learner.radial.order=4"]


def test_sizes_and_boxes_mixed_with_a_validation_file(renkei, xyz, molecules, tmp_path):
    data, held = xyz(molecules(40)), xyz(molecules(9, seed=3), "held.xyz")
    words = ["train", data, "--into", tmp_path / "out", "--validation", held, "--epochs", "4", "--seed", "5", *SMALL]
    code, out, err = renkei(*words)
    assert code == 0, err
    assert "40 training, 9 validation frames" in err
    assert "kept is the model of step" in out
    assert str(tmp_path / "out" / "index.html") in out
    found = json.loads((tmp_path / "out" / "train.json").read_text())
    assert (found["seed"], found["learner"]["hidden"], found["frames"]["validation"]) == (5, [6], 9)
    assert found["steps"] == 4 * 3, "4 passes over 40 structures in batches of 16"


def test_a_configuration_is_read_and_overridden(renkei, xyz, molecules, tmp_path):
    (tmp_path / "mine.yaml").write_text("learner: {name: chebyshev_bpnn, hidden: [5], radial: {order: 3}}\nseed: 9\n")
    words = ["train", xyz(molecules(20)), "--into", tmp_path / "out", "--config", tmp_path / "mine.yaml", "--steps", "5"]
    code, _, err = renkei(*words, "--quiet", "--set", "learner.hidden=[7]")
    assert (code, err) == (0, "")
    found = json.loads((tmp_path / "out" / "train.json").read_text())
    assert (found["seed"], found["learner"]["hidden"], found["learner"]["radial"]["order"]) == (9, [7], 3)


def test_labels_of_a_run_are_data(renkei, sound_run, tmp_path):
    code, _, err = renkei("train", sound_run, "--into", tmp_path / "out", "--steps", "3", "--validation-share", "0", *SMALL)
    assert code == 0, err
    assert "frames repeat earlier ones" in err
    assert "the last; there were no validation frames" in (tmp_path / "out" / "index.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "learner.hiden=[3]"], "learner.hiden: unknown key; did you mean hidden?"),
        (["--set", "learner.name=gap"], "there is no learner called 'gap'"),
        (["--steps", "5", "--seconds", "9"], "--steps --seconds: say the length once; keep one of them"),
        (["--device", "tpu"], "trainer.device: must be text like"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["--test", "nowhere.xyz"], "nowhere.xyz: no such file or run folder"),
    ],
)
def test_what_is_wrong_with_a_command_exits_2(renkei, xyz, molecules, tmp_path, words, said):
    code, out, err = renkei("train", xyz(molecules(9)), "--into", tmp_path / "out", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_bad_data_exit_2_with_file_and_frame(renkei, xyz, molecule, tmp_path):
    bad = molecule(seed=1)
    del bad.calc.results["forces"]
    code, _, err = renkei("train", xyz([molecule(), bad]), "--into", tmp_path / "out")
    assert code == 2
    assert err.startswith(f"renkei: {tmp_path / 'data.extxyz'}: frame 2: has no forces; ")


def test_a_result_is_not_written_over(renkei, trained):
    code, _, err = renkei("train", trained.parent / "data.extxyz", "--into", trained)
    assert code == 2
    assert err.endswith(": is there already; name a new folder\n")


STRANGER = """
from dataclasses import replace
from protocol.errors import LearnFailed
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.chebyshev_bpnn import Settings

class Fragile:
    def __init__(self, inner):
        self.inner = inner

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def fit(self, model, data, budget):
        self.inner.fit(model, data, replace(budget, steps=5))
        raise LearnFailed("the loss is not a finite number")

def build(settings, context):
    return Fragile(chebyshev_bpnn.build(settings, context))
"""


def test_a_strangers_learner_that_diverges_exits_6_with_its_best(renkei, xyz, molecules, tmp_path, monkeypatch):
    (tmp_path / "strange_lab").mkdir()
    (tmp_path / "strange_lab" / "fragile.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["--into", tmp_path / "out", "--quiet", "--set", "learner.name=strange_lab.fragile", *SMALL]
    code, out, err = renkei("train", xyz(molecules(20)), *words)
    assert code == 6
    assert "the loss is not a finite number" in err
    assert "Ended early (the fit failed)" in out
    assert (tmp_path / "out" / "potential" / "weights.h5").is_file()


def test_interrupted_it_keeps_the_best_and_exits_130(xyz, molecules, tmp_path):
    words = [sys.executable, "-m", "renkei", "train", xyz(molecules(30)), "--into", tmp_path / "out", "--steps", "100000000"]
    child = subprocess.Popen([*map(str, words), *SMALL], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in child.stderr:
        if line.startswith("step "):
            break
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "Ended early (SIGINT)" in out
    found = json.loads((tmp_path / "out" / "train.json").read_text())
    assert found["reason"] == "SIGINT"
    assert found["best"]["step"] in [row["step"] for row in found["validations"]]
    assert (tmp_path / "out" / "potential" / "card.json").is_file()
