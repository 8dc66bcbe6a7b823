"""A potential inside a soft sphere, which keeps a free cluster together.

V = sum_i k/2 max(0, |x_i - c| - R)^2 about each structure's own geometric centre c, so nothing pulls on the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Evaluation, Potential


def restraint(positions: Array, radius_A: float, k_eV_per_A2: float) -> tuple[Array, Array]:
    """Energy (B,) eV and forces (B, N, 3) eV/A of the half-harmonic sphere.  positions: (B, N, 3) A."""
    positions = np.asarray(positions, dtype=np.float64)
    offset = positions - np.stack([structure.mean(axis=0) for structure in positions])[:, None, :]
    distance = np.sqrt((offset * offset).sum(axis=2))
    # not maximum(0, ...): a NaN must come out as NaN
    excess = np.where(distance <= radius_A, 0.0, distance - radius_A)
    energy = 0.5 * k_eV_per_A2 * (excess * excess).sum(axis=1)
    pull = k_eV_per_A2 * (excess / np.where(distance == 0, 1.0, distance))[:, :, None] * offset
    # the centre moves with each atom
    return energy, np.stack([row.mean(axis=0) for row in pull])[:, None, :] - pull


@dataclass(frozen=True)
class Restrained:
    """`potential` plus the sphere; for systems without periodicity, so there is no stress."""

    potential: Potential
    radius_A: float
    k_eV_per_A2: float

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers that the potential knows."""
        return self.potential.species

    @property
    def cutoff(self) -> float:
        """Of the potential, A."""
        return self.potential.cutoff

    @property
    def generation(self) -> int:
        """Of the potential."""
        return self.potential.generation

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces of both.  positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
        inner = self.potential.evaluate(positions, numbers, cell, pbc)
        energy, forces = restraint(positions, self.radius_A, self.k_eV_per_A2)
        return Evaluation(inner.energy + energy, inner.forces + forces, None, inner.extras)
