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

from kernels.arrays import Array
from kernels.descriptors.products import pull_back, push_forward
from protocol.records import Structure
from sim_daemon.system import read_atoms
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext

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
    spots, pool, chosen = library.spots, library.pool, np.arange(learner.settings.batch)
    assert pool is not None
    atoms, rng = int(pool.starts[len(chosen), 0]), np.random.default_rng(4)
    gradient = rng.normal(size=(atoms, spots.length)).astype(np.float32)
    direction = rng.normal(size=(atoms, 3)).astype(np.float32)
    return {
        "pull_back": _median(lambda: pull_back(spots, pool, chosen, gradient), seconds),
        "push_forward": _median(lambda: push_forward(spots, pool, chosen, direction), seconds),
    }


def _median(run: Callable[[], Any], seconds: float) -> float:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seconds in all")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    learner = chebyshev_bpnn.build(chebyshev_bpnn.Settings(), LearnerContext("cpu", 1, 0))
    data = training_set()
    step = float(np.median(step_ms(learner, data, 2 * seconds)))
    products = product_ms(learner, data, seconds / 2)
    print(f"{platform.processor() or platform.machine()}, one core, float32, torch {torch.__version__}")
    print(f"one step of {learner.settings.batch} structures of 12 atoms {step:8.3f} ms")
    for name, ms in products.items():
        print(f"  {name:40s} {ms:8.3f} ms")
    told = {
        "ms_per_step": round(step, 4),
        "samples_per_s": round(1e3 * learner.settings.batch / step),
        "share_of_products": round(sum(products.values()) / step, 3),
        **{f"{name}_ms": round(ms, 4) for name, ms in products.items()},
    }
    print(f"{told['samples_per_s']} samples/s, products {100 * told['share_of_products']:.0f} %")
    print(json.dumps(told))


if __name__ == "__main__":
    main()
