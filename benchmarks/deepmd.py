"""DeePMD-kit (se_e2_a, TensorFlow) as a peer: trained and judged by its own command `dp`, in an environment of its own.

Its input is that of its water example. The fall of the learning rate, along which the prefactors of its loss move, is scaled to
the steps that fit into the time, and ends at 1e-5 instead of 3.5e-8: the last part of so short a training would stand still.
In single precision, which is the faster one, and on one core.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from renkei.labels.frames import Frame
from renkei.labels.parity import Predictions

DECAYS = 200  # steps of the learning rate in a training, as in the example: 5,000 of 1,000,000
AXIS_NEURONS = 16
TRIALS = (20, 120)  # steps
ONE_CORE = {
    "OMP_NUM_THREADS": "1",
    "DP_INTRA_OP_PARALLELISM_THREADS": "1",
    "DP_INTER_OP_PARALLELISM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class Size(NamedTuple):
    """Widths of its two networks."""

    embedding: tuple[int, ...]
    fitting: tuple[int, ...]


class Trained(NamedTuple):
    """What a training did."""

    steps: int
    seconds: float  # of the steps alone, on its core
    predictions: Predictions  # of the test frames


def parameters(size: Size, species: int) -> int:
    """Number of weights: embeddings for pairs of species, fitting networks for species; layers of equal widths have a step."""
    embedding = sum((a + 1) * b for a, b in zip((1, *size.embedding), size.embedding, strict=False))
    widths = (AXIS_NEURONS * size.embedding[-1], *size.fitting)
    layers = list(zip(widths, (*size.fitting, 1), strict=True))
    fitting = sum((a + 1) * b + (b if a == b else 0) for a, b in layers)
    return species**2 * embedding + species * fitting


def settings(size: Size, species: Sequence[int], neighbors: Sequence[int], steps: int) -> dict[str, Any]:
    """Its input file.  neighbors: the most of each species that an atom has."""
    descriptor = {
        "type": "se_e2_a",
        "sel": list(neighbors),
        "rcut_smth": 0.5,
        "rcut": 6.0,
        "neuron": list(size.embedding),
        "resnet_dt": False,
        "axis_neuron": AXIS_NEURONS,
        "precision": "float32",
        "seed": 1,
    }
    fitting = {"neuron": list(size.fitting), "resnet_dt": True, "precision": "float32", "seed": 1}
    prefactors = {"start_pref_e": 0.02, "limit_pref_e": 1, "start_pref_f": 1000, "limit_pref_f": 1}
    return {
        "model": {"type_map": [chemical_symbols[z] for z in species], "descriptor": descriptor, "fitting_net": fitting},
        "learning_rate": {"type": "exp", "decay_steps": max(1, steps // DECAYS), "start_lr": 1e-3, "stop_lr": 1e-5},
        "loss": {"type": "ener", **prefactors, "start_pref_v": 0, "limit_pref_v": 0},
        "training": {
            "training_data": {"systems": ["training"], "batch_size": "auto"},
            "numb_steps": steps,
            "seed": 10,
            "disp_file": "lcurve.out",
            "disp_freq": 100,
            "save_freq": 10**9,
        },
    }


def write_frames(folder: Path, frames: Sequence[Frame], species: Sequence[int]) -> None:
    """Frames of one composition in its own format; atoms of all frames in the same order."""
    numbers = frames[0].structure.numbers
    assert all(np.array_equal(frame.structure.numbers, numbers) for frame in frames), "frames of several kinds"
    (folder / "set.000").mkdir(parents=True)
    (folder / "type.raw").write_text("\n".join(str(list(species).index(z)) for z in numbers.tolist()) + "\n")
    (folder / "type_map.raw").write_text("\n".join(chemical_symbols[z] for z in species) + "\n")
    columns = {
        "coord": [frame.structure.positions for frame in frames],
        "box": [frame.structure.cell for frame in frames],
        "energy": [frame.energy for frame in frames],
        "force": [frame.forces for frame in frames],
    }
    for name, column in columns.items():
        array = np.array(column).reshape(len(frames), -1)
        np.save(folder / "set.000" / f"{name}.npy", array[:, 0] if name == "energy" else array)


class DeePMD:
    """One size of it in a folder of its own."""

    def __init__(self, python: Path, folder: Path, size: Size, species: Sequence[int], neighbors: Sequence[int]) -> None:
        """python: interpreter of the environment, beside which `dp` is.  folder: has the folders `training` and `test`."""
        self.dp, self.folder = python.with_name("dp"), folder
        self.size, self.species, self.neighbors = size, species, neighbors

    def train(self, seconds: float, test: Sequence[Frame]) -> Trained:
        """As many steps as fit into the time. Two short trials tell the start-up, which does not count, and the pace."""
        short, long = (self._steps(steps) for steps in TRIALS)
        pace = (long - short) / (TRIALS[1] - TRIALS[0])
        steps = max(TRIALS[0], int(seconds / pace))
        spent = self._steps(steps) - short + TRIALS[0] * pace
        self._run("freeze", "-o", "graph.pb")
        self._run("test", "-m", "graph.pb", "-s", "test", "-n", str(len(test)), "-d", "found")
        return Trained(steps, spent, self._found(len(test)))

    def _steps(self, steps: int) -> float:
        """Seconds that a training had on its core, start-up included."""
        text = json.dumps(settings(self.size, self.species, self.neighbors, steps))
        (self.folder / "input.json").write_text(text)
        before = _children_s()
        self._run("train", "input.json", "--skip-neighbor-stat")
        return _children_s() - before

    def _found(self, count: int) -> Predictions:
        energies: Array = np.loadtxt(self.folder / "found.e.out", ndmin=2)[:, 1]
        forces: Array = np.loadtxt(self.folder / "found.f.out")[:, 3:].reshape(count, -1, 3)
        return Predictions(energies, tuple(forces), (None,) * count)

    def _run(self, *words: str) -> None:
        command = [str(self.dp), "--tf", *words]
        done = subprocess.run(command, cwd=self.folder, env=os.environ | ONE_CORE, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
