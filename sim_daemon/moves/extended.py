"""Hybrid Monte Carlo in scaled centroids and ln V: the volume is a coordinate of the trajectory (docs/methods.md).

U_ext = springs + V_bar + pV - (N+1) kT ln V over the centroids in units of the cell's length and the beads' distances from them.
Every kinetic energy is of constant mass (the centroids' in the start cell's length), so the steps are plain leapfrog:
symplectic and reversible for any driving potential, and exact with the decision at the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.arrays import Array
from kernels.pressure import pressure_of_centroids
from kernels.ring_polymer import FreeStep, RingPolymer
from protocol.errors import BadSetting
from sim_daemon.moves.cell import Barostat, volume
from sim_daemon.moves.trajectory import Driver, Journey, Trajectory, sane


def virial_pressure(positions: Array, forces: Array, stresses: Array, cell: Array) -> float:
    """-dV_bar/dV at fixed scaled centroids and fixed distances from them, eV/A^3: the pressure without its ideal part.

    positions: (P, N, 3) A.  forces: (P, N, 3) eV/A.  stresses: (P, 3, 3) eV/A^3, tension positive.  cell: (3, 3) A.
    """
    return float(np.trace(pressure_of_centroids(positions, forces, stresses, np.array(volume(cell))))) / 3


@dataclass
class _Walker:
    """One walker on its way; modes and momenta (P, N, 3), row 0 the centroid in the start cell's length."""

    modes: Array
    momenta: Array
    log_scale: float  # ln(V/V_reference)
    cell_momentum: float  # eV fs

    def scale(self) -> float:
        """Length of the cell over that of the start cell."""
        return float(np.exp(self.log_scale / 3))

    def positions(self, ring: RingPolymer) -> Array:
        """Beads (P, N, 3) A."""
        return ring.to_beads(_rescaled(self.modes, self.scale()))

    def kick(self, ring: RingPolymer, barostat: Barostat, half_fs: float, forces: Array, stresses: Array) -> None:
        """Half a step of all momenta by forces (P, N, 3) eV/A and stresses (P, 3, 3) eV/A^3."""
        scale = self.scale()
        cell = barostat.reference * scale
        self.momenta = self.momenta + half_fs / ring.beads * _rescaled(ring.to_modes(forces), scale)
        excess = virial_pressure(self.positions(ring), forces, stresses, cell) - barostat.pressure
        self.cell_momentum += half_fs * (volume(cell) * excess + (barostat.atoms + 1) / ring.beta)

    def drift(self, barostat: Barostat, free: FreeStep, step_fs: float) -> None:
        """A whole step of all coordinates; the free ring exactly."""
        modes, momenta = self.modes, self.momenta
        self.modes = modes * free.cosine + momenta * free.momentum_to_position
        self.momenta = momenta * free.cosine - modes * free.position_to_momentum
        self.log_scale += step_fs * self.cell_momentum / barostat.mass


def travel_extended(
    ring: RingPolymer,
    barostat: Barostat,
    start: Trajectory,
    cells: Array,
    driver: Driver,
    timestep_fs: float,
    steps: Array,
    cell_momenta: Array,
) -> Journey:
    """Trajectories of W walkers by steps (W,) with their volumes; cells: (W, 3, 3) A; cell_momenta: (W,) eV fs of ln V.

    A walker whose cell leaves the sampled domain on its way is trapped. Raises BadSetting where the driver has no stress.
    """
    stresses = _needed(start.stresses).copy()
    energies, forces, trapped = start.energies.copy(), start.forces.copy(), start.trapped.copy()
    free = ring.free_step(timestep_fs)
    walkers = [_walker(ring, barostat, start, cells[w], w, cell_momenta[w]) for w in range(len(cells))]
    for k in range(1, int(steps.max(initial=0)) + 1):
        moving = [int(w) for w in np.flatnonzero((steps >= k) & ~trapped)]
        for w in moving:
            walkers[w].kick(ring, barostat, 0.5 * timestep_fs, forces[w], stresses[w])
            walkers[w].drift(barostat, free, timestep_fs)
            trapped[w] = not (abs(walkers[w].log_scale) < 30 and barostat.allows(barostat.reference * walkers[w].scale()))
        there = np.array([w for w in moving if not trapped[w]], dtype=int)
        if not len(there):
            continue
        boxes = np.array([barostat.reference * walkers[w].scale() for w in there])
        values = driver(there, np.array([walkers[w].positions(ring) for w in there]), boxes)
        energies[there], forces[there], stresses[there] = values.energies, values.forces, _needed(values.stresses)
        good = sane(values.energies, values.forces) & np.isfinite(stresses[there]).all(axis=(1, 2, 3))
        trapped[there[~good]] = True
        for w in there[good]:
            walkers[w].kick(ring, barostat, 0.5 * timestep_fs, forces[w], stresses[w])
    return _arrived(
        ring,
        barostat,
        walkers,
        cells,
        steps,
        cell_momenta,
        Trajectory(start.positions, start.momenta, energies, forces, trapped, stresses),
    )


def _rescaled(modes: Array, scale: float) -> Array:
    new = modes.copy()
    new[0] *= scale
    return new


def _needed(stresses: Array | None) -> Array:
    if stresses is None:
        raise BadSetting(
            "sampler.ensemble.barostat: extended needs a stress, and the potential that drives the trajectory gives none",
            next="use barostat: moves",
        )
    return stresses


def _walker(ring: RingPolymer, barostat: Barostat, start: Trajectory, cell: Array, w: int, cell_momentum: float) -> _Walker:
    log_scale = float(np.log(volume(cell) / volume(barostat.reference)))
    modes = _rescaled(ring.to_modes(start.positions[w]), float(np.exp(-log_scale / 3)))
    return _Walker(modes, start.momenta[w], log_scale, float(cell_momentum))


def _arrived(
    ring: RingPolymer,
    barostat: Barostat,
    walkers: list[_Walker],
    cells: Array,
    steps: Array,
    cell_momenta: Array,
    end: Trajectory,
) -> Journey:
    boxes, positions = cells.copy(), end.positions.copy()
    extra = np.zeros(len(walkers))
    for w in np.flatnonzero(~end.trapped):
        boxes[w] = barostat.reference * walkers[w].scale()
        positions[w] = walkers[w].positions(ring)
        kinetic = 0.5 * (walkers[w].cell_momentum ** 2 - cell_momenta[w] ** 2) / barostat.mass
        extra[w] = barostat.cost(ring.beta, cells[w], boxes[w]) + kinetic
    momenta = np.array([walker.momenta for walker in walkers])
    return Journey(end._replace(positions=positions, momenta=momenta), steps, boxes, extra, np.full(len(walkers), np.nan))
