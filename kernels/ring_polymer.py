"""Ring polymers: normal modes, sampling masses, exact free propagation, estimators.

Convention (docs/methods.md): sampled density exp(-beta U), U = springs with omega_P = sqrt(P)/(beta hbar) plus the bead
AVERAGE of the potential. Beads on axis -3: positions (P, N, 3). Masses in eV fs^2/A^2, momenta in eV fs/A, so that no
further factor appears. Whole P x P transforms of fixed shape keep the bits independent of the number of ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS


def mode_matrix(beads: int) -> Array:
    """Orthonormal real normal modes, (P, P): row k of the matrix is mode k, row 0 the centroid."""
    s = np.arange(beads)
    rows = []
    for k in range(beads):
        if k == 0:
            rows.append(np.full(beads, 1 / np.sqrt(beads)))
        elif 2 * k < beads:
            rows.append(np.sqrt(2 / beads) * np.cos(2 * np.pi * k * s / beads))
        elif 2 * k == beads:
            rows.append((-1.0) ** s / np.sqrt(beads))
        else:
            rows.append(np.sqrt(2 / beads) * np.sin(2 * np.pi * k * s / beads))
    return np.array(rows)


def contraction_matrix(beads: int, fewer: int) -> Array:
    """(P', P): from P beads to P' that follow the ring's P' slowest modes; P' odd, at most P.

    Sine and cosine of a frequency come in pairs, hence odd: T = sqrt(P'/P) O'^T (slowest rows of O). A constant stays as it is,
    P' = 1 is the centroid, P' = P (odd) the identity.
    """
    half = fewer // 2
    slowest = [*range(half + 1), *range(beads - half, beads)]
    return np.asarray(np.sqrt(fewer / beads) * mode_matrix(fewer).T @ mode_matrix(beads)[slowest])


class FreeStep(NamedTuple):
    """Coefficients of the exact free motion over one time step, (P, N, 3) each: products with whole arrays are the fast ones."""

    cosine: Array
    momentum_to_position: Array
    position_to_momentum: Array


@dataclass(frozen=True)
class RingPolymer:
    """Constants of a ring of P beads at one temperature. Build with `ring_polymer`."""

    beads: int
    beta: float  # 1/eV
    matrix: Array  # (P, P)
    masses: Array  # (N,) eV fs^2/A^2
    mode_masses: Array  # (P, N) eV fs^2/A^2: free to choose, they do not change the distribution
    springs: Array  # (P, N) eV/A^2
    frequencies: Array  # (P, N) rad/fs, of the free ring with the mode masses

    def to_modes(self, positions: Array) -> Array:
        """Beads (P, N, 3) to modes (P, N, 3)."""
        return (self.matrix @ positions.reshape(self.beads, -1)).reshape(positions.shape)

    def to_beads(self, modes: Array) -> Array:
        """Modes (P, N, 3) to beads (P, N, 3)."""
        return (self.matrix.T @ modes.reshape(self.beads, -1)).reshape(modes.shape)

    def free_step(self, timestep_fs: float) -> FreeStep:
        """Exact free-ring motion over `timestep_fs`."""
        phase = self.frequencies * timestep_fs
        stiffness = self.mode_masses * self.frequencies
        moving = self.frequencies > 0
        drift = np.where(moving, np.sin(phase) / np.where(moving, stiffness, 1.0), timestep_fs / self.mode_masses)
        return FreeStep(*(np.stack([part] * 3, axis=-1) for part in (np.cos(phase), drift, stiffness * np.sin(phase))))

    def free_steps(self, timestep_fs: float, walkers: int) -> list[FreeStep]:
        """`free_step` of each of `walkers` walkers."""
        return [self.free_step(timestep_fs)] * walkers

    def of(self, walker: int) -> RingPolymer:
        """The ring of one walker: this one, but on a ladder of temperatures."""
        return self

    def heated(self, factor: float) -> RingPolymer:
        """The same ring at `factor` times the temperature."""
        inertia = self.masses / self.beads
        mode_masses = inertia + (self.mode_masses - inertia) * factor**2
        springs = self.springs * factor**2
        return replace(
            self, beta=self.beta / factor, springs=springs, mode_masses=mode_masses, frequencies=np.sqrt(springs / mode_masses)
        )

    def kinetic(self, momenta: Array) -> float:
        """Kinetic energy (eV) of mode momenta (P, N, 3) eV fs/A."""
        return float(0.5 * np.sum(momenta**2 / self.mode_masses[..., None]))

    def spring_energy(self, modes: Array) -> float:
        """Energy (eV) of the ring's springs at modes (P, N, 3) A."""
        return float(0.5 * np.sum(self.springs[..., None] * modes**2))

    def draw_momenta(self, generator: np.random.Generator) -> Array:
        """Fresh mode momenta, (P, N, 3) eV fs/A, drawn as one array."""
        shape = (*self.mode_masses.shape, 3)
        return generator.standard_normal(shape) * np.sqrt(self.mode_masses / self.beta)[..., None]

    def spread(self, generator: np.random.Generator, wavenumber_per_cm: float) -> Array:
        """Displacements (P, N, 3) A of the beads about the centroid, for atoms in harmonic wells of one frequency."""
        well = self.masses * (wavenumber_per_cm * WAVENUMBER_RAD_PER_FS) ** 2 / self.beads
        width = 1 / np.sqrt(self.beta * (self.springs + well))
        width[0] = 0.0
        return self.to_beads(generator.standard_normal((*width.shape, 3)) * width[..., None])


def ring_polymer(masses_amu: Array, temperature_K: float, beads: int, wavenumber_per_cm: float) -> RingPolymer:
    """A ring of `beads` beads whose internal modes all move near one reference frequency.

    masses_amu: (N,).  Mode masses mu_k = (m/P) [1 + (omega_k/omega_ref)^2], omega_k = 2P/(beta hbar) sin(pi k/P):
    the centroid keeps its physical mass, and no free mode is faster than omega_ref, so the step has no resonance.
    """
    beta = 1 / (KB_EV_PER_K * temperature_K)
    masses = np.asarray(masses_amu, dtype=float) * AMU_EV_FS2_PER_A2
    k = np.arange(beads)
    ring = 2 * beads / (beta * HBAR_EV_FS) * np.sin(np.pi * k / beads)
    reference = wavenumber_per_cm * WAVENUMBER_RAD_PER_FS
    mode_masses = masses / beads * (1 + (ring / reference) ** 2)[:, None]
    springs = masses / beads * (ring**2)[:, None]
    return RingPolymer(beads, beta, mode_matrix(beads), masses, mode_masses, springs, np.sqrt(springs / mode_masses))


@dataclass(frozen=True)
class RingLadder(RingPolymer):
    """Rings at K rising temperatures, walker w at rung w mod K. Build with `ring_ladder`.

    Its own constants are those of the lowest rung, but for what depends on the temperature ask the ring `of` a walker.
    """

    rungs: tuple[RingPolymer, ...]

    def free_steps(self, timestep_fs: float, walkers: int) -> list[FreeStep]:
        """`free_step` of each of `walkers` walkers, at its own rung."""
        steps = [rung.free_step(timestep_fs) for rung in self.rungs]
        return [steps[w % len(steps)] for w in range(walkers)]

    def of(self, walker: int) -> RingPolymer:
        """The ring of one walker."""
        return self.rungs[walker % len(self.rungs)]

    def heated(self, factor: float) -> RingLadder:
        """The same ladder, every rung at `factor` times its temperature."""
        return ring_ladder([rung.heated(factor) for rung in self.rungs])


def ring_ladder(rungs: Sequence[RingPolymer]) -> RingLadder:
    """Rings of equal beads and atoms at rising temperatures as one ladder."""
    return RingLadder(**vars(rungs[0]), rungs=tuple(rungs))


class RingEnergies(NamedTuple):
    """Estimators of one ring, eV."""

    primitive: float
    virial: float
    kinetic_virial: float
    potential: float


def estimators(ring: RingPolymer, positions: Array, energies: Array, forces: Array) -> RingEnergies:
    """Primitive and centroid-virial energies of one ring (eV).

    positions: (P, N, 3) A, unwrapped.  energies: (P,) eV.  forces: (P, N, 3) eV/A.
    primitive: 3NP/(2 beta) - springs + V;  virial: 3N/(2 beta) - 1/(2P) sum (r - r_c) F + V, V the bead average.
    """
    atoms = len(ring.masses)
    potential = float(np.mean(energies))
    away = positions - positions.mean(axis=0)
    kinetic = 1.5 * atoms / ring.beta - 0.5 / ring.beads * float(np.sum(away * forces))
    primitive = 1.5 * atoms * ring.beads / ring.beta - ring.spring_energy(ring.to_modes(positions)) + potential
    return RingEnergies(primitive, kinetic + potential, kinetic, potential)


def squared_radius_of_gyration(positions: Array) -> Array:
    """Mean square distance of the beads from the centroid, per atom: (P, N, 3) A -> (N,) A^2."""
    return np.mean(np.sum((positions - positions.mean(axis=0)) ** 2, axis=-1), axis=0)
