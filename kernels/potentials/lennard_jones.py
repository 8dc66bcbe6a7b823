"""Lennard-Jones 12-6 between all pairs within a cut-off, lattice images included, shifted to zero there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.neighbors.base import lattice
from kernels.neighbors.numba_cpu import is_usable, pairs
from kernels.potentials.base import Evaluation


@dataclass(frozen=True)
class LennardJones:
    """One kind of atom, whatever the atomic numbers say."""

    epsilon_eV: float
    sigma_A: float
    cutoff: float  # A
    species: tuple[int, ...] = ()
    generation: int = -1

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces; stress where all three directions are periodic. Positions not finite give NaN.

        positions: (B, N, 3) A.  numbers: (N,), of no influence.  cell: (3, 3) A.  pbc: (3,) bool.
        """
        positions = np.array(positions, dtype=np.float64, order="C")
        energy, forces, virial = np.zeros(len(positions)), np.zeros(positions.shape), np.zeros((len(positions), 3, 3))
        for b, structure in enumerate(positions):
            energy[b], forces[b], virial[b] = self._one(structure, cell, pbc)
        box = lattice(cell, pbc)
        stress = -virial / abs(np.linalg.det(box.vectors)) if box.periodic.all() else None
        return Evaluation(energy, forces, stress)

    def _one(self, positions: Array, cell: Array, pbc: Array) -> tuple[float, Array, Array]:
        """Energy eV, forces (N, 3) eV/A and virial (3, 3) eV of one structure.  positions: (N, 3) A."""
        if not is_usable(positions):
            return np.nan, np.full_like(positions, np.nan), np.full((3, 3), np.nan)
        near = pairs(positions, cell, pbc, self.cutoff)
        sixth = (self.sigma_A / near.distance) ** 6
        edge = (self.sigma_A / self.cutoff) ** 6
        # every pair is listed from both of its ends
        energy = 0.5 * float(np.sum(4 * self.epsilon_eV * (sixth * (sixth - 1) - edge * (edge - 1))))
        push = (24 * self.epsilon_eV * sixth * (2 * sixth - 1) / near.distance**2)[:, None] * near.vector  # on the second atom
        forces = np.stack([np.bincount(near.second, push[:, axis], len(positions)) for axis in range(3)], axis=1)
        return energy, forces, 0.5 * np.einsum("qa,qb->ab", near.vector, push)


def build(settings: Mapping[str, Any]) -> LennardJones:
    """From the keys epsilon_eV, sigma_A and cutoff_A."""
    return LennardJones(float(settings["epsilon_eV"]), float(settings["sigma_A"]), float(settings["cutoff_A"]))
