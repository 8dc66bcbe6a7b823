"""A tiny run of the water benchmark on made-up frames, and a stand-in for DeePMD's command that notes what it is given."""

import json
import stat
import sys

import numpy as np
import pytest

from benchmarks import deepmd, water_training
from protocol.records import Structure
from renkei.labels.frames import Frame
from renkei.training.material import Material

WATER, START = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
STAND_IN = """#!{python}
import json, sys
import numpy as np
words = sys.argv[1:]
if words[1] == "train":
    given = json.load(open("input.json"))
    open("steps.txt", "a").write(str(given["training"]["numb_steps"]) + "\\n")
    sum(range(30000 * given["training"]["numb_steps"]))
if words[1] == "test":
    energy, force = (np.load("test/set.000/%s.npy" % name) for name in ("energy", "force"))
    np.savetxt("found.e.out", np.stack([energy, energy + 0.006], 1))
    force = force.reshape(-1, 3)
    np.savetxt("found.f.out", np.hstack([force, force + 0.25]))
"""


def frames(count, seed):
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        positions = START + 0.05 * rng.standard_normal((3, 3))
        structure = Structure(positions, WATER, 9.0 * np.eye(3), np.ones(3, dtype=bool))
        made.append(Frame(structure, -10.0 + rng.normal(), rng.normal(size=(3, 3)), None, f"{k}", "one", k))
    return tuple(made)


@pytest.fixture
def split():
    return Material(frames(20, 1), (), frames(4, 2), (1, 8), ())


def test_our_trainer_takes_the_steps_that_fit(split):
    few = water_training.ours({"hidden": (4,)}, split, 0.02)
    many = water_training.ours({"hidden": (4,)}, split, 0.6)
    assert few["parameters"] == 2 * ((86 + 1) * 4 + 5)
    assert many["steps"] > few["steps"]
    assert many["force_eV_per_A"] > 0


def test_the_peer_is_given_our_split_and_judged_alike(split, tmp_path):
    dp = tmp_path / "dp"
    dp.write_text(STAND_IN.format(python=sys.executable))
    dp.chmod(dp.stat().st_mode | stat.S_IXUSR)
    told = water_training.peer(tmp_path / "python", water_training.PEERS["DeePMD 10-20-40, 64-64-64"], split, 0.2)
    assert told["force_eV_per_A"] == pytest.approx(0.25)
    assert told["energy_meV_per_atom"] == pytest.approx(2.0)
    assert told["steps"] >= deepmd.TRIALS[0]


def test_a_peer_that_fails_is_told(tmp_path):
    dp = tmp_path / "dp"
    dp.write_text("#!/bin/sh\necho no such option\nexit 3\n")
    dp.chmod(dp.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(SystemExit, match="no such option"):
        deepmd.DeePMD(tmp_path / "python", tmp_path, deepmd.Size((4,), (4,)), (1, 8), (2, 1)).train(1.0, ())


def test_its_files_hold_the_frames(split, tmp_path):
    deepmd.write_frames(tmp_path / "training", split.training, (1, 8))
    assert (tmp_path / "training" / "type.raw").read_text().split() == ["1", "0", "0"]
    forces = np.load(tmp_path / "training" / "set.000" / "force.npy")
    np.testing.assert_array_equal(forces[3].reshape(3, 3), split.training[3].forces)
    assert np.load(tmp_path / "training" / "set.000" / "energy.npy").shape == (20,)


def test_its_learning_rate_falls_along_the_steps_there_are():
    size = deepmd.Size((10, 20, 40), (64, 64, 64))
    assert deepmd.settings(size, (1, 8), (92, 46), 1_000_000)["learning_rate"]["decay_steps"] == 5000
    short = deepmd.settings(size, (1, 8), (92, 46), 400)
    assert (short["learning_rate"]["decay_steps"], short["training"]["numb_steps"]) == (2, 400)
    assert json.loads(json.dumps(short))["model"]["type_map"] == ["H", "O"]


def test_its_number_of_parameters():
    embedding, fitting = 2 * 4 + 5 * 8, (8 * 16 + 1) * 6 + 7 * 6 + 6 + 7
    assert deepmd.parameters(deepmd.Size((4, 8), (6, 6)), 2) == 4 * embedding + 2 * fitting
