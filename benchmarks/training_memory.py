"""Memory and time of the trainer against the number of frames: python -m benchmarks.training_memory [--quick] [--frames N ...].

Quartz, 216 atoms, periodic, displaced at random; the default learner, energies and forces, one core. The labels are random
numbers: they cost what real ones cost. For each number of frames, in a process of its own, above imports and compiled loops: the
most memory of a fit that the system cannot take back, the frames themselves included; pages of scratch that lie in memory, which
it can; seconds of taking the frames in; seconds of an epoch. Then MiB per frame, which is the slope between the numbers of
frames, and what 50,000 frames of 200 atoms would need.
Prints a table and, as the last line, one JSON object. Seconds are those that the process had on its core; an epoch is the median
of the steps times their number.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.processes import Watch, alone, memory_MiB
from kernels import native
from protocol.records import Structure
from sim_daemon.system import read_atoms
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import Budget, LearnerContext

STRUCTURE = Path(__file__).parents[1] / "configs" / "structures" / "quartz.xyz"
CELLS = (2, 3, 4)  # 216 atoms
FRAMES = (250, 1000, 2000, 4000)
LARGE_FRAMES, LARGE_ATOMS = 50_000, 200
WARM_UP = 2  # frames with which everything is compiled, before memory is measured


def displaced(count: int, cells: Sequence[int]) -> TrainingSet:
    """Frames of a supercell with random labels."""
    atoms = read_atoms(STRUCTURE).repeat(cells)
    rng, box = np.random.default_rng(3), np.array(atoms.cell.array)
    samples = []
    for number in range(count):
        structure = Structure(atoms.positions + rng.normal(0, 0.08, (len(atoms), 3)), atoms.numbers, box, atoms.pbc)
        samples.append(Sample(str(number).encode(), structure, rng.normal(), rng.normal(size=(len(atoms), 3)), 1.0))
    return TrainingSet(tuple(samples), (8, 14))


def build() -> chebyshev_bpnn.BpnnLearner:
    """The default learner on one core."""
    return chebyshev_bpnn.build(chebyshev_bpnn.Settings(), LearnerContext("cpu", 1, 0))


def fitted(count: int, cells: Sequence[int], seconds: float) -> dict[str, float]:
    """Memory and times of a fit."""
    learner, few = build(), displaced(WARM_UP, cells)
    learner.fit(learner.start(few), few, Budget(2, 0, lambda: False, lambda row: None))
    before, files = memory_MiB("RssAnon"), memory_MiB("RssFile") + memory_MiB("RssShmem")
    times: list[float] = []

    def stop() -> bool:
        times.append(time.process_time())
        return len(times) > 2 and times[-1] - times[0] > seconds

    with Watch() as watch:
        learner, data = build(), displaced(count, cells)
        began = time.process_time()
        model = learner.start(data)
        taken = time.process_time() - began
        learner.fit(model, data, Budget(10**9, 0, stop, lambda row: None))
    steps = -(-count // learner.settings.batch)
    return {
        "memory_MiB": round(watch.most_MiB - before, 1),
        "scratch_MiB": round(memory_MiB("RssFile") + memory_MiB("RssShmem") - files, 1),
        "taking_in_s": round(taken, 2),
        "epoch_s": float(f"{np.median(np.diff(times)) * steps:.4g}"),
    }


def line(counts: Sequence[int], memory: Sequence[float]) -> tuple[float, float]:
    """Slope and value at 0 of memory against frames, by least squares."""
    slope, start = np.polyfit(counts, memory, 1)
    return float(slope), float(start)


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few frames of 72 atoms")
    parser.add_argument("--frames", type=int, nargs="+", help="numbers of frames, at least two")
    arguments = parser.parse_args()
    counts = arguments.frames or ((32, 96) if arguments.quick else FRAMES)
    if len(set(counts)) < 2:
        parser.error("name at least two different numbers of frames")
    cells, seconds = ((2, 2, 2), 0.3) if arguments.quick else (CELLS, 10.0)
    atoms = 9 * int(np.prod(cells))
    print(f"{platform.processor() or platform.machine()}, one core, kernels: {native.backend()}, torch {torch.__version__}")
    rows = {}
    for count in counts:
        rows[count] = alone(fitted, count, cells, seconds)
        print(f"{count:6d} frames of {atoms} atoms", ", ".join(f"{name} {value}" for name, value in rows[count].items()))
    told = {}
    for name in ("memory_MiB", "scratch_MiB"):
        slope, start = line(counts, [rows[count][name] for count in counts])
        large = (start + slope * LARGE_FRAMES * LARGE_ATOMS / atoms) / 1024
        told[name] = {"per_frame": round(slope, 4), f"GiB_of_{LARGE_FRAMES}": round(large, 2)}
        print(f"{name}: {slope:.4f} per frame; {LARGE_FRAMES} frames of {LARGE_ATOMS} atoms would need {large:.1f} GiB")
    print(json.dumps({"atoms": atoms, "frames": rows, **told}))


if __name__ == "__main__":
    main()
