"""The PILE-L thermostat of ring polymers' modes (Ceriotti, Parrinello, Markland and Manolopoulos 2010).

p_k <- c_k p_k + sqrt(1 - c_k^2) xi, xi from the momenta's own distribution, c_k = exp(-gamma_k t): the centroid with a friction
of its own, the internal modes critically damped at the frequencies of their sampling masses.
"""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.ring_polymer import RingPolymer

INTERNAL_DAMPING = 0.5  # lambda of gamma_k = 2 lambda Omega_k


def pile(ring: RingPolymer, time_fs: float, centroid_friction_per_fs: float) -> Array:
    """Shares of the momenta that the thermostat leaves after `time_fs`, (P, N, 1)."""
    friction = 2 * INTERNAL_DAMPING * ring.frequencies
    friction[0] = centroid_friction_per_fs
    return np.asarray(np.exp(-friction * time_fs)[..., None])


def refresh(ring: RingPolymer, momenta: Array, kept: Array, generator: np.random.Generator) -> Array:
    """Momenta (P, N, 3) eV fs/A of which a share `kept` (P, N, 1) stays; the rest is drawn as one array."""
    return kept * momenta + np.sqrt(1 - np.square(kept)) * ring.draw_momenta(generator)
