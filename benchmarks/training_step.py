"""Time of one optimiser step of the learner on one core: python -m benchmarks.training_step [--quick].

Minibatches of 16 water tetramers in random displacements, the demo's descriptor and networks, single precision. The labels are
random numbers: they cost what real ones cost. Prints a table and, as the last line, one JSON object. Medians over the steps.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kernels import native
from kernels.arrays import Array
from protocol.records import Structure
from sim_daemon.system import read_atoms
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext
from train_daemon.library import Library
from train_daemon.sides import divided
from train_daemon.tables import table_of

STRUCTURE = Path(__file__).parents[1] / "configs" / "structures" / "water-tetramer.xyz"
STRUCTURES = 320


def training_set() -> TrainingSet:
    """Displaced tetramers with random labels."""
    atoms = read_atoms(STRUCTURE)
    rng = np.random.default_rng(3)
    samples = []
    for number in range(STRUCTURES):
        positions = atoms.positions + rng.normal(0, 0.08, atoms.positions.shape)
        structure = Structure(positions, atoms.numbers, np.array(atoms.cell.array), atoms.pbc)
        samples.append(Sample(str(number).encode(), structure, rng.normal(), rng.normal(size=positions.shape), 1.0))
    return TrainingSet(tuple(samples), (1, 8))


def step_ms(learner: chebyshev_bpnn.BpnnLearner, data: TrainingSet, seconds: float) -> Array:
    """Milliseconds of each step of one fit, after one that compiles the loops."""
    learner.fit(learner.start(data), data, Budget(20, 1, lambda: False, lambda row: None))
    times: list[float] = []
    end = time.perf_counter() + seconds

    def stop() -> bool:
        times.append(time.perf_counter())
        return times[-1] > end

    learner.fit(learner.start(data), data, Budget(10**6, 1, stop, lambda row: None))
    return 1e3 * np.diff(times)


def product_ms(learner: chebyshev_bpnn.BpnnLearner, data: TrainingSet, seconds: float) -> dict[str, float]:
    """Milliseconds of each of the two products for one minibatch."""
    library, _ = learner._kept(data)
    table = table_of(library, learner.start(data).network, divided(library, data, False, None), "cpu")
    maps, mix = table.maps, table.mixing
    chosen, rng = np.arange(learner.settings.batch), np.random.default_rng(4)
    atoms, length = int(library.starts[len(chosen)]), library.descriptor.length if mix is None else mix.shape[1]
    gradient = torch.from_numpy(rng.normal(size=(atoms, length)).astype(np.float32))
    direction = torch.from_numpy(rng.normal(size=(atoms, 3)).astype(np.float32))
    return {
        "pull_back": _median(lambda: maps(chosen).forces(gradient), seconds),
        "push_forward": _median(lambda: maps(chosen).change(direction), seconds),
    }


def _median(run: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def measured(compiled: bool, seconds: float) -> dict[str, float]:
    """Figures of the learner with the compiled products, or with those in Numba."""
    learner, data = chebyshev_bpnn.build(chebyshev_bpnn.Settings(), LearnerContext("cpu", 1, 0)), training_set()
    if not compiled:
        learner._library = Library(learner._descriptor(data.species))
    began = time.perf_counter()
    learner._kept(data)
    taken = 1e3 * (time.perf_counter() - began) / STRUCTURES
    step = float(np.median(step_ms(learner, data, 2 * seconds)))
    products = product_ms(learner, data, seconds / 2)
    rounded = {f"{name}_ms": round(ms, 4) for name, ms in products.items()}
    return {"ms_per_step": round(step, 4), **rounded, "taking_in_ms_per_structure": round(taken, 4)}


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="four seconds in all")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    print(
        f"{platform.processor() or platform.machine()}, one core, float32, torch {torch.__version__}; 16 structures of 12 atoms"
    )
    told = {}
    for name in ["Numba"] if native.library() is None else ["Numba", native.backend()]:
        told[name] = measured(name != "Numba", seconds)
        print(f"{name:8s}", ", ".join(f"{label} {value}" for label, value in told[name].items()))
    print(json.dumps(told))


if __name__ == "__main__":
    main()
