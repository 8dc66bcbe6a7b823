"""Each coordinate in a quartic well: V = sum a/2 x^2 + b x^4, with x measured from a centre; a may be negative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Evaluation


@dataclass(frozen=True)
class Quartic:
    """Wells of one shape about fixed centres."""

    a_eV_per_A2: float
    b_eV_per_A4: float
    centres: Array  # (N, 3) A
    species: tuple[int, ...] = ()
    cutoff: float = 0.0
    generation: int = -1

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces.  positions: (B, N, 3) A; numbers (N,), cell (3, 3) A and pbc (3,) play no part."""
        x = np.asarray(positions, dtype=np.float64) - self.centres
        square = x * x
        energy = (0.5 * self.a_eV_per_A2 * square + self.b_eV_per_A4 * square * square).reshape(len(x), -1).sum(axis=1)
        return Evaluation(energy, -(self.a_eV_per_A2 + 4 * self.b_eV_per_A4 * square) * x)


def build(settings: Mapping[str, Any]) -> Quartic:
    """From the keys a_eV_per_A2, b_eV_per_A4 and centres (N, 3) A."""
    centres = np.array(settings["centres"], dtype=np.float64)
    return Quartic(float(settings["a_eV_per_A2"]), float(settings["b_eV_per_A4"]), centres)
