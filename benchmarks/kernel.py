"""Time of energies and forces of a Chebyshev network: python -m benchmarks.kernel [--quick].

Compiled kernels in float32 and float64 on one core and on two, beside the same model in Numba. Prints a table and,
as the last line, one JSON object. Minimum of repeats; a call includes the check of its list of neighbours, kept with a skin.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels import native
from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import plan_of
from kernels.neighbors.base import lattice
from kernels.network import Networks, networks
from kernels.potentials.bpnn import NO_PAIRS, evaluate_in_numba
from sim_daemon.system import read_atoms

STRUCTURES = Path(__file__).parents[1] / "configs" / "structures"
LARGE_ATOMS = 5000  # from here on Numba takes too long to be worth the wait


class Case(NamedTuple):
    """What is timed."""

    name: str
    positions: Array  # (B, N, 3) A
    numbers: Array
    cell: Array
    pbc: Array
    descriptor: Chebyshev
    hidden: tuple[int, ...]


def shipped(name: str, structure: str, beads: int, descriptor: Chebyshev, hidden: tuple[int, ...]) -> Case:
    """Beads about a structure of configs/structures."""
    atoms = read_atoms(STRUCTURES / structure)
    positions = atoms.positions + np.random.default_rng(2).normal(0, 0.03, (beads, len(atoms), 3))
    return Case(name, positions, atoms.numbers, np.array(atoms.cell.array), atoms.pbc, descriptor, hidden)


def alloy(name: str, counts: tuple[int, int, int], edge: float) -> Case:
    """Four species (Li10GeP2S12's shares) on a cubic grid, shaken; 50 + 30 functions, two weight sets, 6 A."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3) + 0.5
    positions = (grid + rng.uniform(-0.12, 0.12, grid.shape)) * edge
    numbers = rng.choice([3, 32, 15, 16], len(grid), p=[0.4, 0.04, 0.08, 0.48])
    descriptor = Chebyshev((3, 32, 15, 16), "species_weighted", 50, 6.0, 30, 6.0)
    return Case(name, positions[None], numbers, np.diag(counts) * edge, np.ones(3, bool), descriptor, (32, 32))


def demo(species: tuple[int, ...]) -> Chebyshev:
    """The descriptor of the shipped water configuration."""
    return Chebyshev(species, "species_resolved", 15, 6.0, 8, 4.0, (1, 3))


def cases() -> list[Case]:
    """All cases."""
    return [
        shipped("water tetramer x 16 beads, the demo's network", "water-tetramer.xyz", 16, demo((1, 8)), (30, 30)),
        shipped("quartz, 9 atoms x 8 beads, periodic, the demo's network", "quartz.xyz", 8, demo((8, 14)), (30, 30)),
        alloy("96 atoms, 50 + 30 functions, two weight sets", (4, 4, 6), 2.57),
        alloy("21,600 atoms, the same", (30, 30, 24), 2.62),
    ]


def model(case: Case) -> Networks:
    """Random weights."""
    rng = np.random.default_rng(1)
    sizes = [case.descriptor.length, *case.hidden, 1]
    layers = tuple(
        tuple((rng.normal(size=(out, into)) / np.sqrt(into), np.zeros(out)) for into, out in itertools.pairwise(sizes))
        for _ in case.descriptor.species
    )
    ones = np.ones((len(layers), case.descriptor.length))
    return networks(layers, "tanh", 0 * ones, ones)


def compiled(case: Case, single: bool) -> Callable[[], object]:
    """One call of the compiled kernels."""
    loops = native.Loops(case.descriptor, model(case), single)
    return lambda: loops.energy(case.positions, case.numbers, case.cell, case.pbc)


def in_numba(case: Case) -> Callable[[], object]:
    """One call of the loops in Numba."""
    net, box, species = model(case), lattice(case.cell, case.pbc), kinds(case.descriptor, case.numbers)
    return lambda: evaluate_in_numba(case.positions, species, box, plan_of(case.descriptor), net, NO_PAIRS)


def microseconds(run: Callable[[], object], case: Case, seconds: float) -> float:
    """Shortest time of a call, for each atom of each structure."""
    run()
    end, best = time.perf_counter() + seconds, np.inf
    while time.perf_counter() < end:
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return round(1e6 * best / case.positions[..., 0].size, 2)


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one second a case")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    print(f"{platform.processor() or platform.machine()}, kernels: {native.backend()}; us/atom")
    told: dict[str, dict[str, float]] = {}
    for case in cases():
        times = told[case.name] = {}
        if native.library() is not None:
            for threads, single in itertools.product(("1", "2"), (True, False)):
                os.environ["OMP_NUM_THREADS"] = threads
                label = f"{'float32' if single else 'float64'}, {threads} thread{'s' if threads > '1' else ''}"
                times[label] = microseconds(compiled(case, single), case, seconds)
        if len(case.numbers) < LARGE_ATOMS:
            times["Numba, float64"] = microseconds(in_numba(case), case, seconds)
        print(f"{case.name:58s}", ", ".join(f"{label} {time}" for label, time in times.items()))
    print(json.dumps({"kernels": native.backend(), "us_per_atom": told}))


if __name__ == "__main__":
    main()
