"""Each atom in a spherical Morse well of its own: V = sum D (1 - exp(-a (r - r0)))^2, r = |x - centre|.

With distance_A = r0 > 0 an atom lives on a soft shell, as if bound to a nucleus fixed at the centre; with r0 = 0 in a well
that opens at large r. At r = 0 the force is taken as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Evaluation


@dataclass(frozen=True)
class Morse:
    """Wells of one shape about fixed centres."""

    depth_eV: float
    width_per_A: float
    distance_A: float
    centres: Array  # (N, 3) A
    species: tuple[int, ...] = ()
    cutoff: float = 0.0
    generation: int = -1

    def evaluate(self, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Evaluation:
        """Energies and forces.  positions: (B, N, 3) A; numbers (N,), cell (3, 3) A and pbc (3,) play no part."""
        offset = np.asarray(positions, dtype=np.float64) - self.centres
        radius = np.sqrt((offset * offset).sum(axis=2))
        decay = np.exp(-self.width_per_A * (radius - self.distance_A))
        energy = (self.depth_eV * (1 - decay) ** 2).sum(axis=1)
        slope = 2 * self.depth_eV * self.width_per_A * (1 - decay) * decay
        return Evaluation(energy, -(slope / np.where(radius == 0, 1.0, radius))[:, :, None] * offset)


def build(settings: Mapping[str, Any]) -> Morse:
    """From the keys depth_eV, width_per_A, distance_A and centres (N, 3) A."""
    depth, width, distance = (float(settings[key]) for key in ("depth_eV", "width_per_A", "distance_A"))
    return Morse(depth, width, distance, np.array(settings["centres"], dtype=np.float64))
