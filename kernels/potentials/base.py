"""Contract of a potential.

To add one: a file here that defines `build(folder, generation)` (artefacts) or `build(settings)`
(analytic), and tests/kernels/potentials/test_NAME.py. Units: eV, Angstrom; stress eV/A^3, tension positive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

from kernels.arrays import Array


class Evaluation(NamedTuple):
    """Result for a batch of B structures of N atoms."""

    energy: Array  # (B,) eV
    forces: Array  # (B, N, 3) eV/A
    stress: Array | None = None  # (B, 3, 3) eV/A^3; None where the potential has none
    extras: Mapping[str, Array] = {}


class Potential(Protocol):
    """Energies and forces of a batch of structures that share species order and periodicity."""

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers it knows; () = any."""
        ...

    @property
    def cutoff(self) -> float:
        """Range of an atom's energy, A; 0 if not local."""
        ...

    @property
    def generation(self) -> int:
        """Number of the artefact; -1 for analytic potentials."""
        ...

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Evaluate B structures; a structure's bits do not depend on its batch.

        positions: (B, N, 3) A.  numbers: (N,) atomic numbers.  cell: (3, 3) A, rows are vectors.
        pbc: (3,) bool.
        """
        ...


def load(format: str, folder: Path, generation: int) -> Potential:
    """The potential of one artefact folder, whose digest the caller has verified.

    `format` comes from the peer's data, so it must be a bare file name of this package: data never choose code.
    Raises ValueError for a format that is not a file here.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", format) or not (Path(__file__).parent / f"{format}.py").is_file():
        raise ValueError(f"weights of an unknown format {format!r}; this installation cannot evaluate it")
    potential: Potential = import_module(f"kernels.potentials.{format}").build(folder, generation)
    return potential
