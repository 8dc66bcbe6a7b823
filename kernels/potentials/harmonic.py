"""Each atom in a three-dimensional harmonic well of its own: V = sum k/2 |x - centre|^2. A toy with exact answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Evaluation


@dataclass(frozen=True)
class Harmonic:
    """Wells of one stiffness about fixed centres."""

    k_eV_per_A2: float
    centres: Array  # (N, 3) A
    species: tuple[int, ...] = ()
    cutoff: float = 0.0
    generation: int = -1

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces.  positions: (B, N, 3) A; numbers (N,), cell (3, 3) A and pbc (3,) play no part."""
        offset = np.asarray(positions, dtype=np.float64) - self.centres
        energy = 0.5 * self.k_eV_per_A2 * (offset**2).reshape(len(offset), -1).sum(axis=1)
        return Evaluation(energy, -self.k_eV_per_A2 * offset)


def build(settings: Mapping[str, Any]) -> Harmonic:
    """From the keys k_eV_per_A2 and centres (N, 3) A."""
    return Harmonic(float(settings["k_eV_per_A2"]), np.array(settings["centres"], dtype=np.float64))
