"""Time of energies and forces of a Chebyshev network: python -m benchmarks.kernel [--quick] [--scaling].

Compiled kernels in float32 and float64 on one core and on two, beside the same model in Numba; and what share of one core's
measured rate of multiply-adds their counted operations are (benchmarks/operations.py). With --scaling instead one table each for
the number of atoms, of neighbours, and for the order. Prints tables and, as the last line, one JSON object. Minimum of repeats;
a call includes the check of its list of neighbours, kept with a skin. Shares and --scaling are one thread's own time.
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

from benchmarks.operations import Around, around, per_atom
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
GRID_A = 2.57  # between atoms of the alloy
ATOMS = ((4, 5, 5), (10, 10, 10), (15, 15, 15), (22, 22, 22), (37, 37, 37), (58, 58, 60))  # 100 to 201,840
CUTOFFS_A = (4.2, 5.0, 6.0, 7.0, 8.0, 8.6)
ORDERS = (7, 10, 15, 20, 30)
PRECISIONS = (("float32", True), ("float64", False))


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


def alloy(
    name: str, counts: tuple[int, int, int], edge: float, orders: tuple[int, int] = (50, 30), cutoff_A: float = 6.0
) -> Case:
    """Four species (Li10GeP2S12's shares) on a cubic grid, shaken; two weight sets, one cut-off for pairs and triplets."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3) + 0.5
    positions = (grid + rng.uniform(-0.12, 0.12, grid.shape)) * edge
    numbers = rng.choice([3, 32, 15, 16], len(grid), p=[0.4, 0.04, 0.08, 0.48])
    descriptor = Chebyshev((3, 32, 15, 16), "species_weighted", orders[0], cutoff_A, orders[1], cutoff_A)
    return Case(name, positions[None], numbers, np.diag(counts) * edge, np.ones(3, bool), descriptor, (32, 32))


def demo(species: tuple[int, ...]) -> Chebyshev:
    """The descriptor of the shipped water configuration."""
    return Chebyshev(species, "species_resolved", 15, 6.0, 8, 4.0, (1, 3))


def cases() -> list[Case]:
    """All cases."""
    return [
        shipped("water tetramer x 16 beads, the demo's network", "water-tetramer.xyz", 16, demo((1, 8)), (30, 30)),
        shipped("quartz, 9 atoms x 8 beads, periodic, the demo's network", "quartz.xyz", 8, demo((8, 14)), (30, 30)),
        alloy("96 atoms, 50 + 30 functions, two weight sets", (4, 4, 6), GRID_A),
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


def microseconds(run: Callable[[], object], case: Case, seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Shortest time of a call, for each atom of each structure. With the clock of one thread, what else runs counts less."""
    run()
    end, best = time.perf_counter() + seconds, np.inf
    while time.perf_counter() < end:
        began = clock()
        run()
        best = min(best, clock() - began)
    return round(1e6 * best / case.positions[..., 0].size, 2)


def neighbours(case: Case) -> Around:
    """Mean numbers of what an atom has around it, in the first structure."""
    return around(case.descriptor, case.positions[0], case.cell, case.pbc)


def shares(cases: list[Case], seconds: float) -> dict[str, dict[str, float]]:
    """Counted operations of a case over what one core could do in the time; told, and returned by case and precision."""
    os.environ["OMP_NUM_THREADS"] = "1"
    told: dict[str, dict[str, float]] = {}
    for single in (True, False):
        label, peak = "float32" if single else "float64", 0.0
        for case in cases:
            peak = max(peak, native.fma_peak(single, 0.2))
            took = microseconds(compiled(case, single), case, seconds, time.thread_time)
            operations = per_atom(case.descriptor, case.hidden, neighbours(case), single)
            told.setdefault(case.name, {})[label] = round(1e6 * operations / (took * peak), 3)
            share = f"{told[case.name][label]:.0%} of the peak"
            print(f"{case.name:58s} {label}: {operations:.0f} operations/atom in {took} us, {share}")
        told.setdefault("peak, GFLOP/s", {})[label] = round(peak / 1e9, 1)
        print(f"{'measured peak of one core':58s} {label}: {peak / 1e9:.1f} GFLOP/s")
    return told


def scaling(seconds: float) -> dict[str, dict[str, dict[str, float]]]:
    """us/atom by number of atoms, by cut-off and by angular order, one core; told, and returned."""
    os.environ["OMP_NUM_THREADS"] = "1"
    tables = {
        "atoms": [alloy(f"{int(np.prod(counts))}", counts, GRID_A) for counts in ATOMS],
        "neighbours": [alloy(f"within {cutoff:g} A", (10, 10, 10), GRID_A, cutoff_A=cutoff) for cutoff in CUTOFFS_A],
        "angular order": [alloy(f"{order}", (10, 10, 10), GRID_A, orders=(15, order)) for order in ORDERS],
    }
    told: dict[str, dict[str, dict[str, float]]] = {}
    for table, rows in tables.items():
        print(f"by {table}:")
        for case in rows:
            calls = {label: compiled(case, single) for label, single in PRECISIONS}
            times = {label: microseconds(call, case, seconds, time.thread_time) for label, call in calls.items()}
            if table != "atoms":
                times["neighbours"] = round(neighbours(case).pairs, 1)
            told.setdefault(table, {})[case.name] = times
            print(f"  {case.name:16s}", ", ".join(f"{label} {value}" for label, value in times.items()))
    return told


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one second a case")
    parser.add_argument("--scaling", action="store_true", help="by atoms, neighbours and order instead of the cases")
    given = parser.parse_args()
    seconds = 1.0 if given.quick else 5.0
    print(f"{platform.processor() or platform.machine()}, kernels: {native.backend()}; us/atom")
    if given.scaling:
        print(json.dumps({"kernels": native.backend(), "scaling_us_per_atom": scaling(seconds)}))
        return
    told = {case.name: times_of(case, seconds) for case in cases()}
    found = shares(cases(), seconds) if native.library() is not None else {}
    print(json.dumps({"kernels": native.backend(), "us_per_atom": told, "share_of_peak": found}))


def times_of(case: Case, seconds: float) -> dict[str, float]:
    """us/atom of one case by what computes it; told, and returned."""
    times: dict[str, float] = {}
    if native.library() is not None:
        for threads, (label, single) in itertools.product(("1", "2"), PRECISIONS):
            os.environ["OMP_NUM_THREADS"] = threads
            many = "s" if threads > "1" else ""
            times[f"{label}, {threads} thread{many}"] = microseconds(compiled(case, single), case, seconds)
    if len(case.numbers) < LARGE_ATOMS:
        times["Numba, float64"] = microseconds(in_numba(case), case, seconds)
    print(f"{case.name:58s}", ", ".join(f"{label} {time}" for label, time in times.items()))
    return times


if __name__ == "__main__":
    main()
