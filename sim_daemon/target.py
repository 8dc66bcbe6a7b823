"""The potential whose ensemble we want: first-principles labels plus the restraint, batched over structures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.restrained import restraint
from protocol.records import Label, Structure
from sim_daemon.labelling import Labelled
from sim_daemon.system import System

Labeller = Callable[[Sequence[Structure]], Sequence[Labelled]]


class TargetValues(NamedTuple):
    """The target at B structures; where the engine refused, the energy is +infinity and the forces NaN."""

    positions: Array  # (B, N, 3) A
    energies: Array  # (B,) eV
    forces: Array  # (B, N, 3) eV/A
    labels: tuple[Label | None, ...]  # without the restraint
    refused: tuple[str | None, ...]
    calls: Array  # (B,) engine calls, retries counted
    failures: Array  # (B,)

    @property
    def stresses(self) -> Array:
        """(B, 3, 3) eV/A^3, tension positive; NaN where there is no label, or the engine has no stress."""
        unknown = np.full((3, 3), np.nan)
        return np.array([unknown if a is None or a.stress is None else a.stress for a in self.labels])


class Target:
    """Labels structures of one system; `label` spreads them over the ranks.

    cheap: the same with a cheaper engine, for delayed acceptance.
    """

    def __init__(self, system: System, label: Labeller, cheap: Target | None = None) -> None:
        self.system, self.cheap = system, cheap
        self._label = label

    def __call__(self, positions: Array, cells: Array | None = None) -> TargetValues:
        """Evaluate (B, N, 3) A in cells (B, 3, 3) A; None: the system's. Raises EngineFailed when the engine keeps crashing."""
        base = self.system.structure
        boxes = [base.cell] * len(positions) if cells is None else cells
        answers = self._label([Structure(x, base.numbers, box, base.pbc) for x, box in zip(positions, boxes, strict=True)])
        labels = tuple(a.label for a in answers)
        energies = np.array([np.inf if a is None else a.energy for a in labels])
        forces = np.array([np.full(positions.shape[1:], np.nan) if a is None else a.forces for a in labels])
        bound = self.system.restraint
        if bound is not None:
            extra, push = restraint(positions, bound.radius_A, bound.k_eV_per_A2)
            energies, forces = energies + extra, forces + push
        calls, failures = np.array([a.calls for a in answers]), np.array([a.failures for a in answers])
        return TargetValues(positions, energies, forces, labels, tuple(a.refused for a in answers), calls, failures)
