"""The loops that benchmarks/dynamics.py times: the simulator's own integrator, and LAMMPS on the same structure."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from ase.data import atomic_masses

from benchmarks import peer
from benchmarks.kernel import Case
from kernels import native
from kernels.arrays import Array
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, KB_EV_PER_K
from sim_daemon.moves.trajectory import Forces, Trajectory, integrate

TEMPERATURE_K, WAVENUMBER_PER_CM, SKIN_A = 300.0, 1000.0, 0.5  # the skin of the compiled kernels' lists, for all


class Workload(NamedTuple):
    """What moves."""

    case: Case  # positions (1, N, 3)
    part: Case  # of the same material, small enough for slow codes
    beads: int
    timestep_fs: float
    steps: int


def forces_of(loops: native.Loops, case: Case, scale_eV: float) -> Forces:
    """As the integrator asks for them; scale_eV: the networks' unit."""

    def forces(_: Array, positions: Array) -> tuple[Array, Array]:
        energy, _, gradient, _ = loops.energy(positions.reshape(-1, *positions.shape[2:]), case.numbers, case.cell, case.pbc)
        return scale_eV * energy.reshape(positions.shape[:2]), scale_eV * gradient.reshape(positions.shape)

    return forces


def no_forces(_: Array, positions: Array) -> tuple[Array, Array]:
    """Zeros, for what a step costs beside its forces."""
    return np.zeros(positions.shape[:2]), np.zeros(positions.shape)


def ms_per_step(work: Workload, forces: Forces) -> float:
    """Milliseconds (processor time) of a step of one trajectory, its beginning included.

    Raises ArithmeticError if the trajectory was trapped.
    """
    case, generator = work.case, np.random.default_rng(5)
    ring = ring_polymer(atomic_masses[case.numbers], TEMPERATURE_K, work.beads, WAVENUMBER_PER_CM)
    positions = (case.positions + ring.spread(generator, WAVENUMBER_PER_CM))[None]
    momenta = ring.draw_momenta(generator)[None]

    def run(steps: int) -> Trajectory:
        energies, gradient = forces(np.zeros(1, int), positions)
        start = Trajectory(positions, momenta, energies, gradient, np.zeros(1, bool))
        return integrate(ring, start, forces, work.timestep_fs, np.array([steps]))

    run(2)
    began = time.process_time()
    end = run(work.steps)
    spent = time.process_time() - began
    if end.trapped.any():
        raise ArithmeticError(f"{case.name}: the trajectory met an absurd force")
    return round(1e3 * spent / work.steps, 4)


def velocities(case: Case) -> Array:
    """Of a classical gas, (N, 3) A/fs."""
    width = np.sqrt(KB_EV_PER_K * TEMPERATURE_K / (atomic_masses[case.numbers] * AMU_EV_FS2_PER_A2))
    return np.random.default_rng(5).normal(size=case.positions.shape[1:]) * width[:, None]


def snap(python: str, work: Workload, model: dict[str, Any], seconds: float, coefficients: Array | None) -> dict[str, Any]:
    """LAMMPS with pair_style snap; a ring's beads one after another, which leaves out everything but their forces.

    model: twojmax, cutoff_A, weights of the species, and force_eV_per_A where there are no coefficients (S, 1 + terms) eV.
    """
    case, species = work.case, np.array(work.case.descriptor.species)
    job = model | {"skin_A": SKIN_A, "timestep_fs": work.timestep_fs, "steps": work.steps, "seconds": seconds}
    arrays = {"positions": case.positions[0], "numbers": case.numbers, "cell": case.cell, "velocities": velocities(case)}
    arrays |= {"species": species, "masses": atomic_masses[species]}
    arrays |= {} if coefficients is None else {"coefficients": coefficients}
    told = peer.ask(python, "lammps_md", job, arrays)
    return told if "failed" in told else told | {"ms_per_step": {"float64": work.beads * told["ms_per_step"]}}
