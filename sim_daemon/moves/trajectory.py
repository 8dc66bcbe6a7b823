"""Hybrid Monte Carlo trajectories of ring polymers: half kick, exact free ring, half kick.

Symplectic and reversible for any forces that depend on positions alone, so a Metropolis test after it is exact for any
time step and any surrogate (docs/methods.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.ring_polymer import FreeStep, RingPolymer

# (walkers (A,), positions (A, P, N, 3) A) -> energies (A, P) eV, forces (A, P, N, 3) eV/A
Forces = Callable[[Array, Array], tuple[Array, Array]]

ABSURD_FORCE_EV_PER_A = 1e3  # a trajectory that meets such a force is trapped: the same rule forwards and backwards


class Trajectory(NamedTuple):
    """End points of W trajectories."""

    positions: Array  # (W, P, N, 3) A
    momenta: Array  # (W, P, N, 3) eV fs/A, of the modes
    energies: Array  # (W, P) eV, of the potential that drove it
    forces: Array  # (W, P, N, 3) eV/A
    trapped: Array  # (W,) bool: met a number that is not finite, or absurd
    stresses: Array | None = None  # (W, P, 3, 3) eV/A^3, where the driving potential has them


class Driven(NamedTuple):
    """The potential that drives A walkers, at their P beads."""

    energies: Array  # (A, P) eV
    forces: Array  # (A, P, N, 3) eV/A
    stresses: Array | None  # (A, P, 3, 3) eV/A^3, tension positive


Driver = Callable[[Array, Array, Array], Driven]  # of walkers (A,), positions (A, P, N, 3) A, cells (A, 3, 3) A


class Journey(NamedTuple):
    """Where W walkers arrived, and what their cells did."""

    end: Trajectory
    steps: Array  # (W,) time steps
    cells: Array  # (W, 3, 3) A, at the end
    extra: Array  # (W,) eV: p dV - (N+1) kT ln(V'/V), and the change of the kinetic energy of ln V
    jump: Array  # (W,) eV: the part of the total change that a jump of the cell made; NaN without a jump


def draw_steps(generator: np.random.Generator, timestep_fs: float, trajectory_fs: float, log_uniform: bool) -> int:
    """Number of time steps: log-uniform in [L/8, L], or L +- 20 %; a fixed law of the schedule, so exact."""
    uniform = generator.random()
    length = trajectory_fs * (8.0 ** (uniform - 1) if log_uniform else 0.8 + 0.4 * uniform)
    return max(1, round(length / timestep_fs))


def sane(energies: Array, forces: Array) -> Array:
    """(W,) bool: every bead's numbers are finite and no force is absurd."""
    with np.errstate(invalid="ignore"):
        largest = np.abs(forces).reshape(len(forces), -1).max(axis=1)  # not a number where one is not
        return np.isfinite(energies).all(axis=1) & (largest < ABSURD_FORCE_EV_PER_A)


def _fly(free: FreeStep, modes: Array, momenta: Array) -> None:
    """Free motion of one ring, in place; (P, N, 3) A and eV fs/A."""
    drift, pull = momenta * free.momentum_to_position, modes * free.position_to_momentum
    momenta *= free.cosine
    momenta -= pull
    modes *= free.cosine
    modes += drift


def integrate(
    ring: RingPolymer,
    start: Trajectory,
    forces: Forces,
    timestep_fs: float,
    steps: Array,
) -> Trajectory:
    """Move W walkers, walker w by steps[w] time steps; trapped walkers stop where they are.

    `start` holds the first energies and forces.  steps: (W,) int.  A walker's bits do not depend on the others.
    """
    free = ring.free_steps(timestep_fs, len(steps))
    positions, momenta = start.positions.copy(), start.momenta.copy()
    energies, gradient, trapped = start.energies.copy(), start.forces.copy(), start.trapped.copy()
    half = 0.5 * timestep_fs / ring.beads
    modes, kicks = np.array([ring.to_modes(x) for x in positions]), np.zeros_like(momenta)
    for w in np.flatnonzero(~trapped):
        kicks[w] = half * ring.to_modes(gradient[w])
    for k in range(1, int(steps.max(initial=0)) + 1):
        moving = np.flatnonzero((steps >= k) & ~trapped)
        if not len(moving):
            break
        for w in moving:
            momenta[w] += kicks[w]
            _fly(free[w], modes[w], momenta[w])
            positions[w] = ring.to_beads(modes[w])
        found = forces(moving, positions[moving])
        energies[moving], gradient[moving] = found
        good = sane(*found)
        trapped[moving[~good]] = True
        for w in moving[good]:
            kicks[w] = half * ring.to_modes(gradient[w])  # the first one of the next step too
            momenta[w] += kicks[w]
    return Trajectory(positions, momenta, energies, gradient, trapped)
