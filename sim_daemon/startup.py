"""The first ring, and the first structures to learn from, by kind of system (docs/methods.md).

harmonic: relax, finite-difference Hessian, rings from the quantum harmonic distribution (crystals, stiff molecules).
trajectories: a free ring about the given structure (floppy clusters; the chain's own first-principles moves do the rest).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from kernels.units import HBAR_EV_FS, WAVENUMBER_RAD_PER_FS
from protocol.errors import EngineFailed
from sim_daemon.moves.cell import Barostat, strained
from sim_daemon.target import Target, TargetValues

HESSIAN_STEP_A = 0.01
RELAX_FORCE_EV_PER_A = 0.02
RELAX_STEPS = 100
SOFTEST_PER_CM = 150.0  # softer modes are drawn as if this stiff: harmonic amplitudes of rotors are nonsense
SPREAD_PER_CM = 2000.0  # well of every atom for the internal modes of a free ring
LARGEST_FACTOR, SMALLEST_FACTOR = 1.3, 0.6  # of the harmonic amplitudes, so that the first model sees the edges too
STARTUP_STRAIN = 0.06  # standard deviation of ln(V/V_start) of those structures at constant pressure
STRUCTURES = 120  # independent harmonic structures; many more of them swamp the training


class Harmonic(NamedTuple):
    """Normal modes about a minimum."""

    minimum: Array  # (N, 3) A
    frequencies: Array  # (M,) rad/fs, rigid motions left out
    vectors: Array  # (M, N, 3) A per unit of mass-weighted coordinate, in (eV fs^2)^(1/2)


def relax(target: Target, positions: Array, publish: Callable[[TargetValues], None]) -> Array:
    """The nearest minimum (N, 3) A of the target. Raises EngineFailed where the engine refuses a structure on the way."""

    def energy(flat: Array) -> tuple[float, Array]:
        values = target(flat.reshape(1, *positions.shape))
        publish(values)
        if values.refused[0]:
            raise EngineFailed(
                f"the engine refused a structure while relaxing ({values.refused[0]})", next="look at the start structure"
            )
        return float(values.energies[0]), -values.forces[0].ravel()

    found = minimize(
        energy, positions.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": RELAX_STEPS, "gtol": RELAX_FORCE_EV_PER_A}
    )
    minimum: Array = found.x.reshape(positions.shape)
    return minimum


def hessian(target: Target, minimum: Array) -> tuple[Array, TargetValues]:
    """Second derivatives (3N, 3N) eV/A^2 at a minimum (N, 3) A, by central differences of forces: 6N labels, which come with it.

    Raises EngineFailed where the engine refuses one of these structures.
    """
    size = minimum.size
    shifts = np.repeat(np.eye(size), 2, axis=0) * np.tile([HESSIAN_STEP_A, -HESSIAN_STEP_A], size)[:, None]
    values = target(minimum + shifts.reshape(-1, *minimum.shape))
    if any(values.refused):
        raise EngineFailed("the engine refused a displaced structure of the Hessian", next="use sampler.startup: trajectories")
    forces = values.forces.reshape(size, 2, size)
    matrix = (forces[:, 1] - forces[:, 0]) / (2 * HESSIAN_STEP_A)
    return 0.5 * (matrix + matrix.T), values


def harmonic_modes(matrix: Array, minimum: Array, masses: Array, periodic: bool) -> Harmonic:
    """Normal modes of a Hessian (3N, 3N) eV/A^2; masses (N,) eV fs^2/A^2."""
    inverse_root = 1 / np.sqrt(np.repeat(masses, 3))
    squares, vectors = np.linalg.eigh(matrix * inverse_root[:, None] * inverse_root)
    rigid = min(3 if periodic else 6, len(squares) - 1)
    keep = np.argsort(np.abs(squares))[rigid:]
    frequencies = np.maximum(np.sqrt(np.abs(squares[keep])), SOFTEST_PER_CM * WAVENUMBER_RAD_PER_FS)
    return Harmonic(minimum, frequencies, (vectors[:, keep].T * inverse_root).reshape(-1, *minimum.shape))


def harmonic_ring(ring: RingPolymer, modes: Harmonic, generator: np.random.Generator) -> Array:
    """One ring (P, N, 3) A from the P-bead quantum harmonic distribution."""
    internal = (ring.springs[:, :1] / ring.masses[0]) + modes.frequencies**2 / ring.beads
    amplitudes = generator.standard_normal(internal.shape) / np.sqrt(ring.beta * internal)
    amplitudes = ring.matrix.T @ amplitudes
    return modes.minimum + np.tensordot(amplitudes, modes.vectors, axes=1)


def harmonic_structures(ring: RingPolymer, modes: Harmonic, generator: np.random.Generator) -> Iterator[Array]:
    """Chunks (P, N, 3) A of independent structures with quantum widths, scaled by a random factor."""
    thermal = 0.5 * ring.beta * HBAR_EV_FS * modes.frequencies
    widths = np.sqrt(HBAR_EV_FS / (2 * modes.frequencies) / np.tanh(thermal))
    size = max(8, ring.beads)
    for _ in range(-(-STRUCTURES // size)):
        factors = generator.uniform(SMALLEST_FACTOR, LARGEST_FACTOR, (size, 1))
        amplitudes = factors * generator.standard_normal((size, len(widths))) * widths
        yield modes.minimum + np.tensordot(amplitudes, modes.vectors, axes=1)


def free_ring(ring: RingPolymer, positions: Array, generator: np.random.Generator) -> Array:
    """A ring (P, N, 3) A about the given structure (N, 3) A."""
    return positions + ring.spread(generator, SPREAD_PER_CM)


def in_strained_cells(
    structures: Array, cell: Array, barostat: Barostat | None, generator: np.random.Generator
) -> tuple[Array, Array]:
    """Structures (B, N, 3) A and their cells (B, 3, 3) A, each strained in its own way where the cell will vary."""
    if barostat is None:
        return structures, np.repeat(cell[None], len(structures), axis=0)
    changes = [strained(cell, barostat.draw(generator, STARTUP_STRAIN)) for _ in structures]
    moved = np.array([x @ change.centroids for x, change in zip(structures, changes, strict=True)])
    return moved, np.array([change.cell for change in changes])


def prepare(
    kind: str,
    ring: RingPolymer,
    target: Target,
    walkers: int,
    rng: Rng,
    publish: Callable[[TargetValues], None],
    barostat: Barostat | None = None,
) -> Array:
    """First rings (W, P, N, 3) A of all walkers, in the start cell; `publish` gets every label paid for, as it comes.

    kind: "harmonic" or "trajectories".  barostat: the structures to learn from are strained too, so that the first model knows
    what a change of the cell costs.
    """
    start = target.system.structure.positions
    if kind == "trajectories":
        return np.array([free_ring(ring.of(w), start, rng("startup", w)) for w in range(walkers)])
    minimum = relax(target, start, publish)
    matrix, values = hessian(target, minimum)
    publish(values)
    modes = harmonic_modes(matrix, minimum, ring.masses, bool(target.system.structure.pbc.any()))
    strains, cell = rng("startup strains", 0), target.system.structure.cell
    for structures in harmonic_structures(ring, modes, rng("startup structures", 0)):
        publish(target(*in_strained_cells(structures, cell, barostat, strains)))
    return np.array([harmonic_ring(ring.of(w), modes, rng("startup", w)) for w in range(walkers)])
