"""From a state to the end of a trajectory: momenta and lengths drawn, the potential that drives, the cell that may change.

What decides at the end is elsewhere (ring_move.py); whatever flies here must be reversible and keep volumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.records import Structure
from sim_daemon.moves.cell import Barostat
from sim_daemon.moves.extended import travel_extended
from sim_daemon.moves.palindrome import draw_strains, halved, travel
from sim_daemon.moves.thermostat import Refreshment, refresh
from sim_daemon.moves.trajectory import Driven, Driver, Journey, Trajectory, draw_steps, integrate, sane
from sim_daemon.samplers.base import Plan, State


class Flight(NamedTuple):
    """Trajectories of W walkers."""

    start: Trajectory
    journey: Journey


class Departure(NamedTuple):
    """What a proposal starts from."""

    start: Trajectory  # on the surrogate
    steps: Array  # (W,) time steps drawn
    driver: Driver  # the surrogate
    state: State

    def forces(self, walkers: Array, positions: Array) -> tuple[Array, Array]:
        """Of the surrogate in the walkers' present cells: energies (A, P) eV and forces (A, P, N, 3) eV/A."""
        return self.driver(walkers, positions, self.state.cells[walkers])[:2]


class Course(NamedTuple):
    """Trajectories, and what has been tested of them on the way."""

    flight: Flight  # `energies` of its ends: of the potential that was tested last, or drove
    integrator: Array | None = None  # (W,) ln of the integrator's acceptance ratio; None: that of the flight's ends
    tested: bool = False  # whether the potential of those energies has had its own test, motion included
    cheap: Array | None = None  # (W, K) eV, what a first test called at the ends
    cheap_start: Array | None = None  # the same where the walkers stand
    cheap_calls: Array | None = None  # (W,)
    judge: str = "cheap engine"  # who made that test


Fly = Callable[[RingPolymer, Departure, Plan, Rng], Course]


def depart(
    ring: RingPolymer, base: Structure, state: State, surrogate: Potential, plan: Plan, rng: Rng, refreshment: Refreshment | None
) -> Departure:
    """Momenta and lengths drawn, and the surrogate's values where the walkers stand; `base` has species and periodicity."""

    def driver(_: Array, positions: Array, cells: Array) -> Driven:
        return evaluate(surrogate, base, positions, cells)

    steps, momenta = draw_motion(ring, state, plan, rng, refreshment, log_uniform=True)
    first = driver(np.arange(len(steps)), state.positions, state.cells)
    trapped = ~sane(first.energies, first.forces)
    start = Trajectory(state.positions, momenta, first.energies, first.forces, trapped, first.stresses)
    return Departure(start, steps, driver, state)


def draw_motion(
    ring: RingPolymer, state: State, plan: Plan, rng: Rng, refreshment: Refreshment | None, log_uniform: bool
) -> tuple[Array, Array]:
    """Time steps (W,) and momenta (W, P, N, 3) eV fs/A; without a refreshment all momenta are fresh."""
    walkers = range(len(state.positions))
    steps = np.array([draw_steps(rng("length", w), plan.timestep_fs, plan.trajectory_fs, log_uniform) for w in walkers])
    old = state.momenta
    if refreshment is None or old is None:
        return steps, np.array([ring.of(w).draw_momenta(rng("momenta", w)) for w in walkers])
    kept = [refreshment.kept(float(steps[w]) * plan.timestep_fs) for w in walkers]
    return steps, np.array([refresh(ring, old[w], kept[w], rng("momenta", w)) for w in walkers])


def straight(barostat: Barostat | None) -> Fly:
    """One trajectory on the surrogate."""

    def fly(ring: RingPolymer, departure: Departure, plan: Plan, rng: Rng) -> Course:
        start, steps, driver, state = departure
        way = draw_way(len(steps), plan, rng, barostat, steps)
        return Course(Flight(start, go(ring, barostat, start, state.cells, driver, plan, way, rng)))

    return fly


class Way(NamedTuple):
    """What is drawn for the trajectories of W walkers beside their momenta."""

    steps: Array  # (W,) time steps
    strains: Array | None  # (W, 3, 3) of jumps of the cell, NaN for none; None where the cell does not jump


def draw_way(walkers: int, plan: Plan, rng: Rng, barostat: Barostat | None, steps: Array) -> Way:
    """Jumps of the cell for W walkers, and the steps (W,) that they leave."""
    if barostat is None or barostat.extended:
        return Way(steps, None)
    strains = draw_strains(barostat, walkers, plan.cell_step, rng)
    return Way(halved(steps, strains), strains)


def go(
    ring: RingPolymer, barostat: Barostat | None, start: Trajectory, cells: Array, driver: Driver, plan: Plan, way: Way, rng: Rng
) -> Journey:
    """The trajectories of W walkers at constant volume, with a jump, or with the volume as a coordinate.  cells: (W, 3, 3) A."""
    if barostat is not None and way.strains is not None:
        return travel(ring, barostat, start, cells, driver, plan.timestep_fs, way.steps, way.strains)
    if barostat is not None and barostat.extended:
        momenta = np.array([barostat.draw_momentum(rng("barostat", w), ring.beta) for w in range(len(cells))])
        return travel_extended(ring, barostat, start, cells, driver, plan.timestep_fs, way.steps, momenta)

    def forces(moving: Array, positions: Array) -> tuple[Array, Array]:
        return driver(moving, positions, cells[moving])[:2]

    return in_place(integrate(ring, start, forces, plan.timestep_fs, way.steps), way.steps, cells)


def in_place(end: Trajectory, steps: Array, cells: Array) -> Journey:
    """The journey of walkers whose cells (W, 3, 3) A do not change."""
    return Journey(end, steps, cells, np.zeros(len(cells)), np.full(len(cells), np.nan))


def evaluate(surrogate: Potential, base: Structure, positions: Array, cells: Array) -> Driven:
    """A potential at A rings (A, P, N, 3) A in cells (A, 3, 3) A.

    Rings in one cell are evaluated together.
    """
    energies, forces = np.empty(positions.shape[:2]), np.empty(positions.shape)
    stresses: Array | None = np.empty((*positions.shape[:2], 3, 3))
    _, place = np.unique(cells.reshape(-1, 9), axis=0, return_inverse=True)
    for number in range(place.max(initial=-1) + 1):
        rings = np.flatnonzero(place.reshape(-1) == number)
        chosen = positions[rings]
        value = surrogate.evaluate(chosen.reshape(-1, *chosen.shape[2:]), base.numbers, cells[rings[0]], base.pbc)
        energies[rings], forces[rings] = value.energy.reshape(chosen.shape[:2]), value.forces.reshape(chosen.shape)
        if stresses is None or value.stress is None:
            stresses = None
        else:
            stresses[rings] = value.stress.reshape(*chosen.shape[:2], 3, 3)
    return Driven(energies, forces, stresses)


def motion_energy(ring: RingPolymer, at: Trajectory, w: int) -> float:
    """Kinetic energy and springs of walker w, eV."""
    own = ring.of(w)
    return own.kinetic(at.momenta[w]) + own.spring_energy(ring.to_modes(at.positions[w]))


def driver_log_ratio(ring: RingPolymer, start: Trajectory, end: Trajectory, w: int) -> float:
    """-beta dH of walker w with the potential that drove the trajectory; NaN where it was trapped."""
    if end.trapped[w]:
        return math.nan
    motion = motion_energy(ring, end, w) - motion_energy(ring, start, w)
    return -ring.of(w).beta * (motion + float(np.mean(end.energies[w]) - np.mean(start.energies[w])))


class LogRatios(NamedTuple):
    """ln of the acceptance ratio of one walker, and its parts."""

    whole: float
    integrator: float
    cell: float | None  # None without a jump
    model: float


def log_ratios(ring: RingPolymer, flight: Flight, w: int, change: float) -> LogRatios:
    """ln of the ratio for walker w whose deciding energy (a mean over beads) changes by `change` eV."""
    start, (end, _, _, extra, jumps) = flight
    motion = motion_energy(ring, end, w) - motion_energy(ring, start, w)
    driver = float(np.mean(end.energies[w]) - np.mean(start.energies[w]))
    beta, rest, jump = ring.of(w).beta, float(extra[w]), float(jumps[w])
    work = jump if np.isfinite(jump) else 0.0  # a jump that could not be made is trapped before it
    return LogRatios(
        -beta * (motion + change + rest),
        -beta * (motion + driver + (rest - work)),
        None if np.isnan(jump) else -beta * jump,
        -beta * (change - driver),
    )
