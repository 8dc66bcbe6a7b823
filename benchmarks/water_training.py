"""Accuracy against training time and size, liquid water with DFT labels: python -m benchmarks.water_training [--quick].

240 frames of 192 atoms to learn from (data_0, data_1), 80 of another part that were not seen (data_2). `chebyshev_bpnn` by the
trainer of `renkei train`, without validation frames, in some sizes of networks and descriptor; with --peers PYTHON, the
interpreter of an environment with deepmd-kit (TensorFlow), DeePMD's se_e2_a in two sizes. All on one core in float32.

Seconds are those that a process had on its core, which other jobs change little: with nothing beside it they are those of the
clock. A trial tells the pace of the steps, and as many as fit into the time are taken. For DeePMD the steps alone count; for us
the neighbours and features too. Imports count for neither.
Prints tables and, as the last line, one JSON object. The ratio is the force error of the best DeePMD over that of our best.

Data: the folder water-dft below RENKEI_REFERENCE_DATA, or --data.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import deepmd, reference_data
from kernels import native
from kernels.potentials.base import load
from protocol.shutdown import Shutdown
from renkei.labels import parity
from renkei.training import fit, material
from renkei.training.material import Material
from train_daemon.dataset import TrainingSet
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, Learner, LearnerContext

SECONDS = (60.0, 180.0, 600.0)
LARGER = {"radial": {"order": 20}, "angular": {"order": 12, "cutoff_A": 5.0}}
OURS: dict[str, Mapping[str, Any]] = {
    "chebyshev_bpnn 10-10": {"hidden": (10, 10)},
    "chebyshev_bpnn 30-30, the default": {},
    "chebyshev_bpnn 64-64": {"hidden": (64, 64)},
    "chebyshev_bpnn 30-30, larger descriptor": LARGER,
    "chebyshev_bpnn 64-64, larger descriptor": {"hidden": (64, 64), **LARGER},
}
PEERS = {
    "DeePMD 10-20-40, 64-64-64": deepmd.Size((10, 20, 40), (64, 64, 64)),
    "DeePMD 25-50-100, 240-240-240": deepmd.Size((25, 50, 100), (240, 240, 240)),
}
UNTIMED_STEPS, TIMED_STEPS = 10, 20  # of the trial
NEIGHBORS = (92, 46)  # H and O that an atom has at most, of DeePMD's example
TOLD = {"force_eV_per_A": "force_rmse_eV_per_A", "energy_meV_per_atom": "energy_rmse_meV_per_atom"}


def frames(data: Path) -> Material:
    """The split."""
    files = [data / f"data_{number}.extxyz.gz" for number in range(3)]
    return material.gather(files[:2], None, 0.0, files[2], 1)


def ours(settings: Mapping[str, Any], given: Material, seconds: float) -> dict[str, float]:
    """Figures of one training with the project's trainer."""
    learner = chebyshev_bpnn.build(chebyshev_bpnn.Settings.model_validate(settings), LearnerContext("cpu", 1, 1))
    data, shutdown = fit.training_set(given.training, given.species), Shutdown(None, set)
    began = time.process_time()
    try:
        model = learner.start(data)
        prepared = time.process_time() - began
        steps = max(1, int((seconds - prepared) / step_s(learner, model, data)))
        began = time.process_time()
        course = fit.train(learner, data, (), fit.Length(steps=steps), shutdown, lambda course, planned: None)
    finally:
        shutdown.restore()
    spent = prepared + time.process_time() - began
    if course.failure is not None:
        raise course.failure
    with tempfile.TemporaryDirectory() as folder:
        export = learner.export(course.best, Path(folder))
        found = parity.predict(load(export.format, Path(folder), 0), given.test)
    weights = sum(w.size + b.size for species in course.best.network.layers for w, b in species)
    return _figures(weights, course.steps, spent, given, found)


def step_s(learner: Learner, model: Any, data: TrainingSet) -> float:
    """Seconds of an optimiser step, after some that compile the loops."""
    times: list[float] = []

    def stop() -> bool:
        times.append(time.process_time())
        return len(times) == UNTIMED_STEPS + TIMED_STEPS

    learner.fit(model, data, Budget(10**9, 0, stop, lambda row: None))
    return (times[-1] - times[UNTIMED_STEPS - 1]) / TIMED_STEPS


def peer(python: Path, size: deepmd.Size, given: Material, seconds: float) -> dict[str, float]:
    """The same of DeePMD."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        deepmd.write_frames(folder / "training", given.training, given.species)
        deepmd.write_frames(folder / "test", given.test, given.species)
        done = deepmd.DeePMD(python, folder, size, given.species, NEIGHBORS).train(seconds, given.test)
    weights = deepmd.parameters(size, len(given.species))
    return _figures(weights, done.steps, done.seconds, given, done.predictions)


def _figures(weights: int, steps: int, seconds: float, given: Material, found: parity.Predictions) -> dict[str, float]:
    errors = parity.errors(given.test, found)
    told = {name: float(f"{errors[key]:.3g}") for name, key in TOLD.items()}
    return {"parameters": weights, "steps": steps, "s": round(seconds, 1), **told}


def best(rows: Mapping[str, Mapping[str, float]], kinds: Mapping[str, Any]) -> float:
    """The smallest force error of the contenders of one kind."""
    return min(row["force_eV_per_A"] for name, row in rows.items() if name in kinds)


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="five seconds each, 24 frames to learn from")
    parser.add_argument("--seconds", type=float, nargs="+", default=SECONDS, help="time for each training")
    parser.add_argument("--only", default="", metavar="WORDS", help="contenders whose names have these words")
    parser.add_argument("--data", type=Path, help="the folder of the data set")
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="interpreter of an environment with deepmd-kit")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    split = frames(reference_data.folder("water-dft", given.data))
    if given.quick:
        split = split._replace(training=split.training[::10], test=split.test[::10])
    counts = f"{len(split.training)} frames to learn from, {len(split.test)} to judge"
    print(f"{platform.processor() or platform.machine()}, one core, float32, kernels: {native.backend()}; {counts}")
    told: dict[str, dict[str, dict[str, float]]] = {}
    for seconds in (5.0,) if given.quick else given.seconds:
        rows = told[f"{seconds:g} s"] = {}
        for name in (name for name in (*OURS, *(PEERS if given.peers else ())) if given.only in name):
            rows[name] = ours(OURS[name], split, seconds) if name in OURS else peer(given.peers, PEERS[name], split, seconds)
            print(
                f"{seconds:5g} s  {name:40s}", ", ".join(f"{label} {value:g}" for label, value in rows[name].items()), flush=True
            )
        if rows.keys() & OURS.keys() and rows.keys() & PEERS.keys():
            print(f"{seconds:5g} s  force error of the best DeePMD / of our best: {best(rows, PEERS) / best(rows, OURS):.2f}")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
