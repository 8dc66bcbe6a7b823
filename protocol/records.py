"""What crosses the border between the daemons: frozen records of plain arrays and numbers.

Units: eV, Angstrom, eV/A, eV/A^3 (stress, tension positive).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Phase(StrEnum):
    """Phase of a row: `adapt` (model, step, length may change) or `production` (all frozen)."""

    STARTUP = "startup"  # structures labelled before the chain starts; never averaged
    ADAPT = "adapt"
    PRODUCTION = "production"


class PeerState(StrEnum):
    """What the other daemon is doing, as far as its files tell."""

    ABSENT = "absent"
    QUEUED = "queued"
    ALIVE = "alive"
    PAUSED = "paused"
    FINISHING = "finishing"
    GONE = "gone"

    @property
    def works(self) -> bool:
        """Whether it is alive or pauses."""
        return self in (PeerState.ALIVE, PeerState.PAUSED)

    @property
    def has_ended(self) -> bool:
        """Whether it said itself that it ends, or is gone."""
        return self in (PeerState.FINISHING, PeerState.GONE)


@dataclass(frozen=True)
class Structure:
    """Positions, species, cell and periodicity of one configuration."""

    positions: Array  # (N, 3) A
    numbers: Array  # (N,) atomic numbers
    cell: Array  # (3, 3) A, rows are vectors; zeros where not periodic
    pbc: Array  # (3,) bool


@dataclass(frozen=True)
class Label:
    """First-principles numbers of one structure, without the restraint."""

    structure: Structure
    energy: float  # eV, total
    forces: Array  # (N, 3) eV/A
    stress: Array | None  # (3, 3) eV/A^3; None where the engine has none
    charge: int
    multiplicity: int
    fingerprint: str  # hash of every engine setting that can change a number


@dataclass(frozen=True)
class Origin:
    """Where a label comes from; stamped by the simulator's daemon, in one place."""

    simulator: str
    walker: int
    step: int  # number of the Markov step; -1 for start-up structures
    point: int  # 0: the end point (the proposal); k > 0: k-th stored point of a first-principles path
    bead: int
    generation: int  # of the surrogate that made the proposal; -1: first principles alone
    accepted: bool
    phase: Phase
    ring: int  # beads with the same number (within a batch) belong to one ring polymer


@dataclass(frozen=True)
class Batch:
    """Labels sent together; immutable; all of one system (species order, charge, fingerprint)."""

    labels: tuple[Label, ...]
    origins: tuple[Origin, ...]


@dataclass(frozen=True)
class Canary:
    """Structures with a model's own numbers, which the simulator recomputes with its kernels before use."""

    positions: Array  # (B, N, 3) A
    numbers: Array  # (N,)
    cell: Array  # (3, 3) A
    pbc: Array  # (3,) bool
    energy: Array  # (B,) eV
    forces: Array  # (B, N, 3) eV/A
    energy_tolerance_eV_per_atom: float = 1e-8
    force_tolerance_eV_per_A: float = 1e-6


@dataclass(frozen=True)
class Card:
    """What a published model says of itself (card.json)."""

    format: str  # file name in kernels/potentials
    generation: int
    species: tuple[int, ...]
    cutoff_A: float
    charge: int
    multiplicity: int
    fingerprint: str  # of the engine whose labels it learned
    architecture: Mapping[str, Any]
    metrics: Mapping[str, float | int | str | bool]
    parents: tuple[str, ...]  # digests: the model it was warm-started from
    batches: tuple[str, ...]  # "simulator/epoch/number" it was trained on
    files: Mapping[str, str]  # file name -> sha256
    canary: Canary
    units: str = "eV, Angstrom"
    schema: int = 1


@dataclass(frozen=True)
class Packet:
    """A verified message in this side's store. Its name is (kind, sender, epoch, number)."""

    kind: str  # "batch" | "weights"
    sender: str  # simulator's name, or "train"
    epoch: int
    number: int
    digest: str  # sha256 of the payload (for weights: of card.json, which lists its files' digests)
    path: Path  # the payload: a file (batch) or a folder (weights)
    facts: Mapping[str, Any]  # count, phase, generation, engine fingerprint, ... as in the trigger

    @property
    def place(self) -> tuple[int, int]:
        """Order among the messages of its sender."""
        return self.epoch, self.number
