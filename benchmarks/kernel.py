"""Time of energies and forces of a Chebyshev network on one core: python -m benchmarks.kernel [--quick].

Prints a table and, as the last line, one JSON object. Minimum of repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.potentials.bpnn import BpnnModel, build, write
from sim_daemon.system import read_atoms

STRUCTURES = Path(__file__).parents[1] / "configs" / "structures"


class Case(NamedTuple):
    """What is timed."""

    name: str
    structure: str
    beads: int
    repeat: int  # of the cell, along each axis
    descriptor: Chebyshev
    hidden: tuple[int, ...]


CASES = (
    Case(
        "water tetramer, demo's network",
        "water-tetramer.xyz",
        16,
        1,
        Chebyshev((1, 8), "species_resolved", 15, 6.0, 8, 4.0, (1, 3)),
        (30, 30),
    ),
    Case(
        "quartz 9 atoms, demo's network",
        "quartz.xyz",
        8,
        1,
        Chebyshev((8, 14), "species_resolved", 15, 6.0, 8, 4.0, (1, 3)),
        (30, 30),
    ),
    Case(
        "quartz 72 atoms, 50 + 30 functions, two weight sets",
        "quartz.xyz",
        1,
        2,
        Chebyshev((8, 14), "species_weighted", 49, 6.0, 29, 6.0),
        (10, 10),
    ),
)


def model(case: Case) -> BpnnModel:
    """A network of the case's size with random weights."""
    rng = np.random.default_rng(1)
    species, length = len(case.descriptor.species), case.descriptor.length
    sizes = [length, *case.hidden, 1]
    nets = tuple(
        tuple((rng.normal(size=(out, into)) / np.sqrt(into), np.zeros(out)) for into, out in itertools.pairwise(sizes))
        for _ in range(species)
    )
    ones = np.ones((species, length))
    return BpnnModel(case.descriptor, nets, "tanh", 0 * ones, ones, np.zeros(species))


def measure(case: Case, folder: Path, seconds: float) -> float:
    """Microseconds per atom, energies and forces, neighbour search included."""
    atoms = read_atoms(STRUCTURES / case.structure) * ((case.repeat,) * 3 if case.repeat > 1 else 1)
    write(folder, model(case))
    potential = build(folder, 0)
    noise = np.random.default_rng(2).normal(0, 0.03, (case.beads, len(atoms), 3))
    positions, cell = atoms.positions + noise, np.array(atoms.cell.array)
    potential.evaluate(positions, atoms.numbers, cell, atoms.pbc)
    return (
        1e6 * _fastest(lambda: potential.evaluate(positions, atoms.numbers, cell, atoms.pbc).energy, seconds) / noise[..., 0].size
    )


def _fastest(run: Callable[[], Array], seconds: float) -> float:
    end, best = time.perf_counter() + seconds, np.inf
    while time.perf_counter() < end:
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best


def main() -> None:
    """Print the table and the JSON line."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one second a case")
    seconds = 1.0 if parser.parse_args().quick else 5.0
    print(f"{platform.processor() or platform.machine()}, one core, float64")
    told = {}
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            told[case.name] = round(measure(case, Path(folder), seconds), 2)
        print(f"{case.name:55s} {told[case.name]:8.2f} us/atom")
    print(json.dumps({"us_per_atom_f64": told}))


if __name__ == "__main__":
    main()
