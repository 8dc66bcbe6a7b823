"""Kolmogorov-Arnold potentials beside networks on Chebyshev moments: python -m benchmarks.kan [--quick].

Time of energies and forces on one core: networks with random weights, and the same networks folded into splines of several
lengths, which have the networks' errors (how far they are from them is told). Then accuracy: both learners on water tetramers
with GFN2-xTB labels, with the errors of structures that they have not seen and the time of their files.
Prints tables and, as the last line, one JSON object. Minimum of repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.kernel import STRUCTURES, Case, demo, microseconds, shipped
from kernels import native
from kernels.descriptors.base import kinds
from kernels.descriptors.numba_cpu import plan_of
from kernels.folding import INTERVALS, fold
from kernels.neighbors.base import lattice
from kernels.network import networks
from kernels.potentials import bpnn, kan
from kernels.potentials.base import Potential, load
from protocol.records import Structure
from sim_daemon.engines.base import EngineContext
from sim_daemon.engines.base import load as load_engine
from sim_daemon.system import read_atoms
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.gate import evaluate
from train_daemon.learners.base import Budget, LearnerContext
from train_daemon.learners.base import load as load_learner

LENGTHS = (16, 64, 256, INTERVALS)  # intervals of the splines
BOTH = {"order": 8, "cutoff_A": 4.0, "powers": (1, 3)}  # the powers of chebyshev_bpnn
CONTENDERS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "chebyshev_bpnn, 30-30": ("chebyshev_bpnn", {}),
    "chebyshev_bpnn, 10-10": ("chebyshev_bpnn", {"hidden": (10, 10)}),
    "kan, 16 functions, 16": ("kan", {}),
    "kan, 30 functions, 30": ("kan", {"functions": 30, "hidden": (30,)}),
    "kan, 30 functions, 30, powers 1 and 3": ("kan", {"functions": 30, "hidden": (30,), "angular": BOTH}),
    "the same, 64 intervals": ("kan", {"functions": 30, "hidden": (30,), "angular": BOTH, "intervals": 64}),
    "kan, 16 functions, 16, bspline 24 and 12": ("kan", {"basis": "bspline"}),
    "kan, 16 functions, 16, bspline 16 and 8": (
        "kan",
        {"basis": "bspline", "radial": {"intervals": 16}, "angular": {"intervals": 8}},
    ),
    "kan, 30 functions, 30, bspline 24 and 12": ("kan", {"basis": "bspline", "functions": 30, "hidden": (30,)}),
}


def random_model(case: Case) -> bpnn.BpnnModel:
    """A network whose functions are of equal size."""
    rng, d = np.random.default_rng(1), case.descriptor
    layers = tuple(
        tuple((rng.normal(size=(out, into)) / into**0.5, rng.normal(size=out)) for into, out in itertools.pairwise(sizes))
        for sizes in [(d.length, *case.hidden, 1)] * len(d.species)
    )
    ones = np.ones((len(d.species), d.length))
    return bpnn.BpnnModel(d, layers, "tanh", 0 * ones, ones, np.zeros(len(d.species)))


def us_per_atom(potential: Potential, case: Case, seconds: float) -> float:
    """Shortest time of a call through the door that the simulator uses."""
    return microseconds(lambda: potential.evaluate(case.positions, case.numbers, case.cell, case.pbc), case, seconds)


def in_numba(model: bpnn.BpnnModel, case: Case, seconds: float) -> float:
    """The same of a network in Numba, the language of the splines."""
    species, box, plan = kinds(model.descriptor, case.numbers), lattice(case.cell, case.pbc), plan_of(model.descriptor)
    net = networks(model.layers, model.activation, model.mean, model.scale)
    return microseconds(lambda: bpnn.evaluate_in_numba(case.positions, species, box, plan, net, bpnn.NO_PAIRS), case, seconds)


def without_compiled_kernels(potential: kan.Kan) -> kan.Kan:
    """The same splines in Numba."""
    other = kan.Kan(potential.model, 0)
    object.__setattr__(other, "_loops", None)
    return other


def folded(case: Case, seconds: float) -> dict[str, float]:
    """Times of a network and of its splines, and how far their forces are from the network's, as a share of the largest."""
    model = random_model(case)
    network = bpnn.Bpnn(model, 0)
    there = network.evaluate(case.positions, case.numbers, case.cell, case.pbc).forces
    told = {"network, Numba": in_numba(model, case, seconds)}
    if native.library() is not None:
        told["network, compiled"] = us_per_atom(network, case, seconds)
    for intervals in LENGTHS:
        splines = kan.Kan(fold(model, intervals), 0)
        here = splines.evaluate(case.positions, case.numbers, case.cell, case.pbc).forces
        told[f"splines of {intervals}, Numba"] = us_per_atom(without_compiled_kernels(splines), case, seconds)
        if native.library() is not None:
            told[f"splines of {intervals}, compiled"] = us_per_atom(splines, case, seconds)
            single = kan.in_compiled_kernels(splines.model, kan.NO_PAIRS, single=True)
            assert single is not None
            box = case.positions, case.numbers, case.cell, case.pbc
            told[f"splines of {intervals}, compiled, float32"] = microseconds(partial(single.energy, *box), case, seconds)
        told[f"splines of {intervals}, force off by"] = float(f"{np.abs(here - there).max() / np.abs(there).max():.1e}")
    return told


def labelled(count: int) -> tuple[Sample, ...]:
    """Displaced water tetramers with GFN2-xTB labels."""
    atoms, rng = read_atoms(STRUCTURES / "water-tetramer.xyz"), np.random.default_rng(3)
    with tempfile.TemporaryDirectory() as scratch:
        tblite = load_engine("tblite")
        engine = tblite.build(tblite.Settings(), EngineContext(0, 1, Path(scratch), 1))
        samples = []
        for number in range(count):
            positions = atoms.positions + rng.normal(0, 0.05, atoms.positions.shape)
            label = engine.label(Structure(positions, atoms.numbers, np.array(atoms.cell.array), atoms.pbc))
            samples.append(Sample(str(number).encode(), label.structure, label.energy, label.forces, 1.0))
    return tuple(samples)


def learned(name: str, settings: Mapping[str, Any], samples: tuple[Sample, ...], steps: int, case: Case) -> dict[str, float]:
    """Errors of a learner on the last fifth of the samples, and the time of what it exports."""
    module, cut = load_learner(name), len(samples) * 4 // 5
    learner = module.build(module.Settings(**settings), LearnerContext("cpu", 1, 0))
    data = TrainingSet(samples[:cut], (1, 8))
    start = learner.start(data)
    learner.fit(start, data, Budget(1, 1, lambda: False, lambda row: None))  # what is compiled at its first use
    began = time.perf_counter()
    model, _ = learner.fit(start, data, Budget(steps, 1, lambda: False, lambda row: None))
    fit_s = round(time.perf_counter() - began, 1)
    with tempfile.TemporaryDirectory() as folder:
        potential = load(learner.export(model, Path(folder)).format, Path(folder), 0)
    energies, forces = evaluate(potential, samples[cut:])
    off = energies - np.array([sample.energy for sample in samples[cut:]])
    wrong = np.array([found - sample.forces for found, sample in zip(forces, samples[cut:], strict=True)])
    told = {"force_meV_per_A": 1e3 * float(np.sqrt(np.mean(wrong**2))), "energy_meV": 1e3 * float(np.std(off))}
    told = {name: round(value, 1) for name, value in told.items()} | {"us_per_atom": us_per_atom(potential, case, 1.0)}
    if isinstance(potential, kan.Kan):
        told["us_per_atom_in_numba"] = us_per_atom(without_compiled_kernels(potential), case, 1.0)
    else:
        told["us_per_atom_in_numba"] = in_numba(model.network, case, 1.0)
    told["fit_s"] = fit_s
    return told


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a second a case, few structures and steps")
    quick = parser.parse_args().quick
    seconds, count, steps = (0.5, 100, 200) if quick else (3.0, 500, 4000)
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"{platform.processor() or platform.machine()}, one core, kernels: {native.backend()}; us/atom")
    timed: dict[str, dict[str, float]] = {}
    for width in (10, 30):
        for label, file, beads, species in (("water tetramer", "water-tetramer", 16, (1, 8)), ("quartz", "quartz", 8, (8, 14))):
            case = shipped(f"{label} x {beads}, {width} functions", f"{file}.xyz", beads, demo(species), (width, width))
            timed[case.name] = folded(case, seconds)
            print(f"{case.name:36s}", ", ".join(f"{name} {value}" for name, value in timed[case.name].items()))
    samples, errors = labelled(count), {}
    tetramer = shipped("water tetramer", "water-tetramer.xyz", 16, demo((1, 8)), ())
    for label, (name, settings) in CONTENDERS.items():
        errors[label] = learned(name, settings, samples, steps, tetramer)
        print(f"{label:40s}", ", ".join(f"{what} {value}" for what, value in errors[label].items()))
    print(json.dumps({"kernels": native.backend(), "us_per_atom": timed, "water_tetramer_gfn2": errors}))


if __name__ == "__main__":
    main()
