"""What only a ring polymer has: its centroid, its spread, its springs, and two estimators of each energy (docs/methods.md)."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K
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


def spring_energies(positions: Array, masses_amu: Array, temperature_K: float) -> Array:
    """Energy of each atom's springs, sum_s m omega_P^2 |r_{s+1} - r_s|^2 / 2 with omega_P = sqrt(P) kT / hbar.

    positions: (..., P, N, 3) A.  masses_amu: (N,).  Returns (..., N) eV; zeros for one bead.
    """
    frequency = np.sqrt(positions.shape[-3]) * KB_EV_PER_K * temperature_K / HBAR_EV_FS
    stiffness = masses_amu * AMU_EV_FS2_PER_A2 * frequency**2
    steps = np.roll(positions, -1, axis=-3) - positions
    return np.asarray(0.5 * stiffness * (steps**2).sum(axis=(-1, -3)))


def kinetic_primitive(positions: Array, masses_amu: Array, temperature_K: float) -> Array:
    """Kinetic energy of each atom, 3 P kT / 2 - its springs: from positions alone, with a variance that grows with P.

    positions: (..., P, N, 3) A.  masses_amu: (N,).  Returns (..., N) eV.
    """
    thermal = 1.5 * positions.shape[-3] * KB_EV_PER_K * temperature_K
    return thermal - spring_energies(positions, masses_amu, temperature_K)


def kinetic_virial(positions: Array, forces: Array, temperature_K: float) -> Array:
    """Kinetic energy of each atom, 3 kT / 2 - sum_s (r_s - r_c) F_s / 2P (centroid virial).

    positions: (..., P, N, 3) A.  forces: the same shape, eV/A, of the target.  Returns (..., N) eV.
    """
    away = positions - centroids(positions)[..., None, :, :]
    return np.asarray(1.5 * KB_EV_PER_K * temperature_K - 0.5 * (away * forces).sum(axis=-1).mean(axis=-2))


def by_element(values: Array, numbers: Array) -> dict[str, Array]:
    """Sums over the atoms of each element; values: (..., N), numbers: (N,).  Returns symbol -> (...)."""
    return {chemical_symbols[n]: values[..., numbers == n].sum(axis=-1) for n in np.unique(numbers)}


def energy_difference(ledger: Ledger) -> Array | None:
    """Primitive minus virial energy of every row, (n,) eV: zero on average, so its own error tests the sampling."""
    primitive, virial = (ledger.observables.get(f"energy_{name}_eV") for name in ("primitive", "virial"))
    return None if primitive is None or virial is None else np.asarray(primitive - virial)
