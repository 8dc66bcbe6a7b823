"""What only a ring polymer has: its centroid, its spread by element, and two estimators of one energy."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from renkei.analysis.ledger import Ledger


def centroids(positions: Array) -> Array:
    """Centroid of every atom's ring.

    positions: (..., P, N, 3) A, a ring not cut by a cell's face.  Returns (..., N, 3) A.
    """
    return np.asarray(positions.mean(axis=-3))


def radii_of_gyration(positions: Array, numbers: Array) -> dict[str, Array]:
    """Root of the mean squared radius of gyration over the atoms of each element (three components summed).

    positions: (..., P, N, 3) A.  numbers: (N,).  Returns symbol -> (...) A.
    """
    spread = positions - centroids(positions)[..., None, :, :]
    squared = (spread**2).sum(axis=-1).mean(axis=-2)
    return {chemical_symbols[n]: np.sqrt(squared[..., numbers == n].mean(axis=-1)) for n in np.unique(numbers)}


def energy_difference(ledger: Ledger) -> Array | None:
    """Primitive minus virial energy of every row, (n,) eV: zero on average, so its own error tests the sampling."""
    primitive, virial = (ledger.observables.get(f"energy_{name}_eV") for name in ("primitive", "virial"))
    return None if primitive is None or virial is None else np.asarray(primitive - virial)
