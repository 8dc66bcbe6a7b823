"""One hybrid Monte Carlo step of ring polymers, driven by the surrogate or by first principles, decided by first principles.

ln of the acceptance ratio: -beta [K' + springs' + V_target' - (K + springs + V_target)], V the bead average
(docs/methods.md: the self-learning rule). The driving potential cancels, so a wrong one costs acceptance only.
At constant pressure the cell changes on the way, in a jump (palindrome.py) or with the trajectory (extended.py), and p dV and the
measure of the cell join the energies.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.records import Phase, Structure
from sim_daemon.moves.accept import accept
from sim_daemon.moves.cell import Barostat
from sim_daemon.moves.extended import travel_extended
from sim_daemon.moves.palindrome import draw_strains, halved, jumping, travel
from sim_daemon.moves.trajectory import Driven, Driver, Journey, Trajectory, draw_steps, integrate, sane
from sim_daemon.observables import observe, observe_cell
from sim_daemon.samplers.base import Info, Plan, Point, State
from sim_daemon.target import Target, TargetValues

PATH_EVERY = 5  # every fifth point of a first-principles path is kept as a label: neighbours are near-copies


class Flight(NamedTuple):
    """Trajectories of W walkers."""

    start: Trajectory
    journey: Journey


class Costs:
    """The target, with points and engine calls booked to walkers."""

    def __init__(self, target: Target, beads: int, walkers: int) -> None:
        self._target, self._beads = target, beads
        self.points: list[list[Point]] = [[] for _ in range(walkers)]
        self.calls, self.failures = np.zeros(walkers, int), np.zeros(walkers, int)

    def label(self, walkers: Array, positions: Array, cells: Array) -> TargetValues:
        """Target at (A, P, N, 3) A in the cells (A, 3, 3) A of the given walkers."""
        values = self._target(positions.reshape(-1, *positions.shape[2:]), np.repeat(cells, self._beads, axis=0))
        self.calls[walkers] += values.calls.reshape(len(walkers), -1).sum(axis=1)
        self.failures[walkers] += values.failures.reshape(len(walkers), -1).sum(axis=1)
        return values

    def keep(self, walker: int, values: TargetValues, a: int, point: int, cell: Array) -> None:
        """Store the labels of one point of a walker, the a-th ring of `values`, in a cell (3, 3) A."""
        chosen, beads = slice(a * self._beads, (a + 1) * self._beads), tuple(range(self._beads))
        kept = Point(point, beads, values.positions[chosen], values.labels[chosen], values.refused[chosen], cell)
        self.points[walker].append(kept)


class _Proposal(NamedTuple):
    """Where W walkers want to go, with the target's values there."""

    flight: Flight
    energies: Array  # (W, P) eV; +infinity where trapped or refused
    forces: Array  # (W, P, N, 3) eV/A
    stresses: Array | None  # (W, P, 3, 3) eV/A^3; at constant pressure alone


def ring_step(
    ring: RingPolymer,
    target: Target,
    state: State,
    surrogate: Potential | None,
    plan: Plan,
    rng: Rng,
    barostat: Barostat | None = None,
) -> tuple[State, tuple[Info, ...]]:
    """One step of every walker; `surrogate` None means that first principles drive the trajectory."""
    costs = Costs(target, ring.beads, len(state.positions))
    state = _known(state, costs)
    if surrogate is None:
        proposal = _first_principles(ring, state, costs, plan, rng, barostat)
    else:
        proposal = _arrived(fly(ring, target, state, surrogate, plan, rng, barostat), state, costs)
    new = replace(
        state,
        positions=state.positions.copy(),
        energies=state.energies.copy(),
        forces=state.forces.copy(),
        cells=state.cells.copy(),
        stresses=None if state.stresses is None else state.stresses.copy(),
    )
    infos = [_decide(ring, target, state, proposal, costs, new, w, plan, rng, barostat) for w in range(len(state.positions))]
    return new, tuple(infos)


def fly(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng, barostat: Barostat | None = None
) -> Flight:
    """Trajectories of every walker on the surrogate, with fresh momenta and lengths."""
    base = target.system.structure

    def driver(_: Array, positions: Array, cells: Array) -> Driven:
        return evaluate(surrogate, base, positions, cells)

    steps, momenta = _draws(ring, state, plan, rng, log_uniform=True)
    first = driver(np.arange(len(steps)), state.positions, state.cells)
    start = Trajectory(
        state.positions, momenta, first.energies, first.forces, ~sane(first.energies, first.forces), first.stresses
    )
    way = _way(state, plan, rng, barostat, steps)
    return Flight(start, _go(ring, barostat, start, state.cells, driver, plan, way, rng))


def evaluate(surrogate: Potential, base: Structure, positions: Array, cells: Array) -> Driven:
    """A potential at A rings (A, P, N, 3) A in cells (A, 3, 3) A.

    Rings in one cell are evaluated together.
    """
    energies, forces = np.empty(positions.shape[:2]), np.empty(positions.shape)
    stresses: Array | None = np.empty((*positions.shape[:2], 3, 3))
    _, place = np.unique(cells.reshape(len(cells), -1), axis=0, return_inverse=True)
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


class _Way(NamedTuple):
    """What is drawn for the trajectories of W walkers beside their momenta."""

    steps: Array  # (W,) time steps
    strains: Array | None  # (W, 3, 3) of jumps of the cell, NaN for none; None where the cell does not jump


def _way(state: State, plan: Plan, rng: Rng, barostat: Barostat | None, steps: Array) -> _Way:
    if barostat is None or barostat.extended:
        return _Way(steps, None)
    strains = draw_strains(barostat, len(state.positions), plan.cell_step, rng)
    return _Way(halved(steps, strains), strains)


def _go(
    ring: RingPolymer,
    barostat: Barostat | None,
    start: Trajectory,
    cells: Array,
    driver: Driver,
    plan: Plan,
    way: _Way,
    rng: Rng,
) -> Journey:
    """The trajectories of W walkers at constant volume, with a jump, or with the volume as a coordinate."""
    walkers = len(cells)
    if barostat is not None and way.strains is not None:
        return travel(ring, barostat, start, cells, driver, plan.timestep_fs, way.steps, way.strains)
    if barostat is not None and barostat.extended:
        momenta = np.array([barostat.draw_momentum(rng("barostat", w), ring.beta) for w in range(walkers)])
        return travel_extended(ring, barostat, start, cells, driver, plan.timestep_fs, way.steps, momenta)

    def forces(moving: Array, positions: Array) -> tuple[Array, Array]:
        return driver(moving, positions, cells[moving])[:2]

    end = integrate(ring, start, forces, plan.timestep_fs, way.steps)
    return Journey(end, way.steps, cells, np.zeros(walkers), np.full(walkers, np.nan))


def motion_energy(ring: RingPolymer, at: Trajectory, w: int) -> float:
    """Kinetic energy and springs of walker w, eV."""
    return ring.kinetic(at.momenta[w]) + ring.spring_energy(ring.to_modes(at.positions[w]))


def _draws(ring: RingPolymer, state: State, plan: Plan, rng: Rng, log_uniform: bool) -> tuple[Array, Array]:
    """Time steps (W,) and momenta (W, P, N, 3)."""
    walkers = range(len(state.positions))
    steps = np.array([draw_steps(rng("length", w), plan.timestep_fs, plan.trajectory_fs, log_uniform) for w in walkers])
    return steps, np.array([ring.draw_momenta(rng("momenta", w)) for w in walkers])


def _known(state: State, costs: Costs) -> State:
    """Label the rings that exploration left without the target's values."""
    unknown = np.flatnonzero(np.isnan(state.energies).any(axis=1))
    if not len(unknown):
        return state
    energies, forces = state.energies.copy(), state.forces.copy()
    values = costs.label(unknown, state.positions[unknown], state.cells[unknown])
    energies[unknown] = values.energies.reshape(len(unknown), -1)
    forces[unknown] = values.forces.reshape(len(unknown), *forces.shape[1:])
    stresses = state.stresses
    if stresses is not None:
        stresses = stresses.copy()
        stresses[unknown] = values.stresses.reshape(len(unknown), -1, 3, 3)
    return replace(state, energies=energies, forces=forces, stresses=stresses)


def _arrived(flight: Flight, state: State, costs: Costs) -> _Proposal:
    """The target at the end points of the trajectories that were not trapped."""
    end, cells = flight.journey.end, flight.journey.cells
    energies, forces = np.full_like(end.energies, np.inf), np.full_like(end.forces, np.nan)
    stresses = None if state.stresses is None else np.full_like(state.stresses, np.nan)
    arrived = np.flatnonzero(~end.trapped)
    if len(arrived):
        values = costs.label(arrived, end.positions[arrived], cells[arrived])
        for a, w in enumerate(arrived):
            costs.keep(int(w), values, a, 0, cells[w])
        energies[arrived] = values.energies.reshape(len(arrived), -1)
        forces[arrived] = values.forces.reshape(len(arrived), *forces.shape[1:])
        if stresses is not None:
            stresses[arrived] = values.stresses.reshape(len(arrived), -1, 3, 3)
    return _Proposal(flight, energies, forces, stresses)


def _first_principles(
    ring: RingPolymer, state: State, costs: Costs, plan: Plan, rng: Rng, barostat: Barostat | None
) -> _Proposal:
    steps, momenta = _draws(ring, state, plan, rng, log_uniform=plan.phase is Phase.PRODUCTION)
    way = _way(state, plan, rng, barostat, steps)
    last = way.steps if way.strains is None else way.steps + jumping(way.strains)
    met = np.zeros(len(steps), int)  # points of the path, a jump's counted
    latest = None if state.stresses is None else state.stresses.copy()
    if latest is not None and barostat is not None and barostat.extended and not np.isfinite(latest).all():
        barostat = None  # first principles without a stress: the cell waits for a surrogate

    def driver(walkers: Array, positions: Array, cells: Array) -> Driven:
        values = costs.label(walkers, positions, cells)
        shape = positions.shape
        energies, forces = values.energies.reshape(shape[:2]), values.forces.reshape(shape)
        met[walkers] += 1
        for a in np.flatnonzero(sane(energies, forces)):
            w = int(walkers[a])
            if met[w] == last[w] or met[w] % PATH_EVERY == 0:
                costs.keep(w, values, int(a), 0 if met[w] == last[w] else int(met[w]), cells[a])
        if latest is None:
            return Driven(energies, forces, None)
        latest[walkers] = values.stresses.reshape(*shape[:2], 3, 3)
        return Driven(energies, forces, latest[walkers])

    start = Trajectory(state.positions, momenta, state.energies, state.forces, np.zeros(len(steps), bool), state.stresses)
    journey = _go(ring, barostat, start, state.cells, driver, plan, way, rng)
    energies = np.where(journey.end.trapped[:, None], np.inf, journey.end.energies)
    return _Proposal(Flight(start, journey), energies, journey.end.forces, latest)


def _decide(
    ring: RingPolymer,
    target: Target,
    old: State,
    proposal: _Proposal,
    costs: Costs,
    new: State,
    w: int,
    plan: Plan,
    rng: Rng,
    barostat: Barostat | None,
) -> Info:
    """Accept or reject walker w; writes the accepted walker into `new`."""
    end, steps, cells, _, _ = proposal.flight.journey
    change = float(np.mean(proposal.energies[w]) - np.mean(old.energies[w]))
    parts = log_ratios(ring, proposal.flight, w, change)
    log_ratio = np.nan if end.trapped[w] else parts.whole
    accepted = accept(log_ratio, rng("accept", w))
    if accepted:
        new.positions[w], new.energies[w], new.forces[w] = end.positions[w], proposal.energies[w], proposal.forces[w]
        new.cells[w] = cells[w]
        if new.stresses is not None and proposal.stresses is not None:
            new.stresses[w] = proposal.stresses[w]
    seen = observe(ring, target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w])
    if barostat is not None and new.stresses is not None:
        seen = {**seen, **observe_cell(ring, barostat, new.cells[w], new.positions[w], new.forces[w], new.stresses[w])}
    return Info(
        accepted=accepted,
        outcome=_outcome(accepted, bool(end.trapped[w]), costs.points[w], change),
        log_ratio=log_ratio,
        log_ratio_integrator=parts.integrator,
        log_ratio_model=parts.model,
        md_steps=int(steps[w]),
        length_fs=int(steps[w]) * plan.timestep_fs,
        points=tuple(costs.points[w]),
        engine_calls=int(costs.calls[w]),
        engine_failures=int(costs.failures[w]),
        observables=seen,
        log_ratio_cell=parts.cell,
    )


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
    rest, jump = float(extra[w]), float(jumps[w])
    work = jump if np.isfinite(jump) else 0.0  # a jump that could not be made is trapped before it
    return LogRatios(
        -ring.beta * (motion + change + rest),
        -ring.beta * (motion + driver + (rest - work)),
        None if np.isnan(jump) else -ring.beta * jump,
        -ring.beta * (change - driver),
    )


def _outcome(accepted: bool, trapped: bool, points: list[Point], change: float) -> str:
    if accepted:
        return "accepted"
    if np.isposinf(change) and any(r is not None for p in points for r in p.refused):
        return "rejected: engine_failure"
    return "rejected: surrogate" if trapped else "rejected"
