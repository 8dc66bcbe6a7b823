"""Angular sums and their forces by triplets and by spherical harmonics: python -m benchmarks.harmonics [--quick].

harmonics.cpp has both for one atom: the triplets' loops are those of kernels/csrc, the harmonics a second way to the same sums,
for the addition theorem makes a sum over pairs of neighbours the square of a sum over neighbours. It is compiled here as the
kernels are, with the best instructions of this processor. Prints, for two kinds of descriptor, the time by triplets over the time
by harmonics (above 1: harmonics are faster) by order and by number of neighbours within the angular cut-off, and one JSON object
as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import runpy
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import setuptools

from kernels import native

ROOT = Path(__file__).parents[1]
KINDS = {"species_resolved, 2 species, powers 1 and 3": (2, 2), "1 species, power 1": (1, 1)}  # powers, species
ORDERS = (4, 6, 8, 10, 12, 15, 20, 30)
NEIGHBOURS = (8, 12, 16, 20, 24, 32, 48, 64, 96, 128)
TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


def built(folder: Path) -> Path:
    """The executable, in a folder. Raises CalledProcessError without a compiler."""
    with contextlib.chdir(ROOT), mock.patch.object(setuptools, "setup"):
        flags: dict[str, Any] = runpy.run_path("setup.py")
    instructions = flags["INSTRUCTIONS"].get(platform.machine(), {"generic": []})[native.backend()]
    sources = [ROOT / "benchmarks/harmonics.cpp", ROOT / "kernels/csrc/neighbors.cpp", f"-I{ROOT / 'kernels/csrc'}"]
    command = [os.environ.get("CXX", "g++"), *flags["COMMON"], *instructions, *map(str, sources), "-o", str(folder / "harmonics")]
    subprocess.run(command, check=True)
    return folder / "harmonics"


def ratios(program: Path, powers: int, species: int, orders: Sequence[int]) -> dict[str, dict[int, dict[int, float]]]:
    """Time by triplets over time by harmonics by precision, order and neighbours. Raises ValueError if their numbers differ."""
    words = [str(word) for order, count in itertools.product(orders, NEIGHBOURS) for word in (order, powers, species, count)]
    told = subprocess.run([program, *words], check=True, capture_output=True, text=True).stdout
    found: dict[str, dict[int, dict[int, float]]] = {}
    for line in told.splitlines():
        precision, order, _, _, count, triplets, harmonics, difference = line.split()
        if not float(difference) < TOLERANCE[precision]:
            raise ValueError(f"triplets and harmonics differ: {line}")
        found.setdefault(precision, {}).setdefault(int(order), {})[int(count)] = round(float(triplets) / float(harmonics), 2)
    return found


def main() -> None:
    """Print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="order 8 alone")
    orders = (8,) if parser.parse_args().quick else ORDERS
    told = {}
    with tempfile.TemporaryDirectory() as folder:
        program = built(Path(folder))
        for kind, (powers, species) in KINDS.items():
            told[kind] = ratios(program, powers, species, orders)
            for precision, table in told[kind].items():
                print(f"{kind}, {precision}, {native.backend()}; neighbours: {NEIGHBOURS}")
                for order, row in table.items():
                    print(f"  order {order:2d}  ", "  ".join(f"{ratio:5.2f}" for ratio in row.values()))
    print(json.dumps({"kernels": native.backend(), "triplets_over_harmonics": told}))


if __name__ == "__main__":
    main()
