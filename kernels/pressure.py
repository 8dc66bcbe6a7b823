"""Pressure of a ring polymer in a cell, as a tensor, in two forms (docs/methods.md); positive = compressive, eV/A^3."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K


def pressure_virial(positions: Array, forces: Array, stresses: Array, volume_A3: Array, temperature_K: float) -> Array:
    """Centroid-virial form, p Vol = N kT + mean_s [W_s - sum_i (r_is - r_ic) F_is]; its variance stays finite with P.

    The beads' W_s = -Vol stress_s is the whole periodic virial. The result is symmetrised.
    positions, forces: (..., P, N, 3) A, eV/A.  stresses: (..., P, 3, 3) eV/A^3, tension positive.  volume_A3: (...).
    Returns (..., 3, 3) eV/A^3; the pressure is a third of its trace.
    """
    thermal = positions.shape[-2] * KB_EV_PER_K * temperature_K * np.eye(3)
    return np.asarray(thermal / _volume(volume_A3) + pressure_of_centroids(positions, forces, stresses, volume_A3))


def pressure_of_centroids(positions: Array, forces: Array, stresses: Array, volume_A3: Array) -> Array:
    """-dV_bar/d(strain) over the volume where centroids follow the strain: `pressure_virial` without its ideal part."""
    away = positions - positions.mean(axis=-3, keepdims=True)
    inner = np.einsum("...pia,...pib->...ab", away, forces) / positions.shape[-3]
    inner = 0.5 * (inner + np.swapaxes(inner, -1, -2))
    return np.asarray(-inner / _volume(volume_A3) - stresses.mean(axis=-3))


def pressure_primitive(positions: Array, stresses: Array, volume_A3: Array, masses_amu: Array, temperature_K: float) -> Array:
    """Primitive form, p Vol = N P kT - sum m omega_P^2 d d + mean_s W_s with d = r_{s+1} - r_s: needs no forces.

    masses_amu: (N,); the rest as in `pressure_virial`.
    """
    beads, atoms = positions.shape[-3:-1]
    thermal = KB_EV_PER_K * temperature_K
    stiffness = masses_amu * AMU_EV_FS2_PER_A2 * beads * (thermal / HBAR_EV_FS) ** 2
    steps = np.roll(positions, -1, axis=-3) - positions
    springs = np.einsum("i,...pia,...pib->...ab", stiffness, steps, steps)
    return np.asarray((atoms * beads * thermal * np.eye(3) - springs) / _volume(volume_A3) - stresses.mean(axis=-3))


def _volume(volume_A3: Array) -> Array:
    return np.asarray(volume_A3, dtype=float)[..., None, None]
