"""Exact independent samples of rings in isotropic harmonic wells, and what is known of them (docs/methods.md)."""

import numpy as np

from kernels.ring_polymer import mode_matrix
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS

OMEGA = 3000 * WAVENUMBER_RAD_PER_FS
HYDROGEN_AMU = 1.00794
STIFFNESS = HYDROGEN_AMU * AMU_EV_FS2_PER_A2 * OMEGA**2  # eV/A^2


def ring_frequencies(beads, temperature_K):
    """(P,) rad/fs of the free ring with the physical mass over P."""
    return 2 * beads * KB_EV_PER_K * temperature_K / HBAR_EV_FS * np.sin(np.pi * np.arange(beads) / beads)


def draw(states, walkers, beads, masses_amu, temperature_K, seed):
    """(T, W, P, N, 3) A of atoms in wells of STIFFNESS."""
    masses = np.asarray(masses_amu) * AMU_EV_FS2_PER_A2
    springs = masses / beads * ring_frequencies(beads, temperature_K)[:, None] ** 2 + STIFFNESS / beads  # (P, N)
    width = np.sqrt(KB_EV_PER_K * temperature_K / springs)
    modes = np.random.default_rng(seed).standard_normal((states, walkers, beads, len(masses), 3)) * width[..., None]
    return np.einsum("kp,twkna->twpna", mode_matrix(beads), modes)


def well(positions):
    """Energies (B,) eV and forces (B, N, 3) eV/A."""
    return 0.5 * STIFFNESS * (positions**2).sum(axis=(1, 2)), -STIFFNESS * positions


def energy(beads, mass_amu, temperature_K):
    """E_P of one dimension, eV: m omega^2 <x^2>."""
    omega2 = STIFFNESS / (mass_amu * AMU_EV_FS2_PER_A2)
    return KB_EV_PER_K * temperature_K * np.sum(omega2 / (ring_frequencies(beads, temperature_K) ** 2 + omega2))


def free_energy(beads, mass_amu, temperature_K):
    """F_P of one dimension, eV: kT ln[2 sinh(P eta / 2)], sinh(eta / 2) = omega / (2 omega_hat)."""
    omega = np.sqrt(STIFFNESS / (mass_amu * AMU_EV_FS2_PER_A2))
    thermal = KB_EV_PER_K * temperature_K
    eta = 2 * np.arcsinh(omega * HBAR_EV_FS / (2 * beads * thermal))
    return thermal * np.log(2 * np.sinh(0.5 * beads * eta))
