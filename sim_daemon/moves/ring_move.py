"""One hybrid Monte Carlo step of ring polymers, driven by the surrogate or by first principles, decided by first principles.

ln of the acceptance ratio: -beta [K' + springs' + V_target' - (K + springs + V_target)], V the bead average
(docs/methods.md: the self-learning rule). The driving potential cancels, so a wrong one costs acceptance only.
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
from sim_daemon.moves.trajectory import Trajectory, draw_steps, integrate, sane
from sim_daemon.observables import observe
from sim_daemon.samplers.base import Info, Plan, Point, State
from sim_daemon.target import Target, TargetValues

PATH_EVERY = 5  # every fifth point of a first-principles path is kept as a label: neighbours are near-copies


class Flight(NamedTuple):
    """Trajectories of W walkers."""

    start: Trajectory
    end: Trajectory
    steps: Array  # (W,) time steps


class _Costs:
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

    def keep(self, walker: int, values: TargetValues, a: int, point: int) -> None:
        """Store the labels of one point of a walker, the a-th ring of `values`."""
        chosen = slice(a * self._beads, (a + 1) * self._beads)
        kept = Point(point, tuple(range(self._beads)), values.positions[chosen], values.labels[chosen], values.refused[chosen])
        self.points[walker].append(kept)


class _Proposal(NamedTuple):
    """Where W walkers want to go, with the target's values there."""

    flight: Flight
    energies: Array  # (W, P) eV; +infinity where trapped or refused
    forces: Array  # (W, P, N, 3) eV/A


def ring_step(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential | None, plan: Plan, rng: Rng
) -> tuple[State, tuple[Info, ...]]:
    """One step of every walker; `surrogate` None means that first principles drive the trajectory."""
    costs = _Costs(target, ring.beads, len(state.positions))
    state = _known(state, costs)
    if surrogate is None:
        proposal = _first_principles(ring, state, costs, plan, rng)
    else:
        proposal = _arrived(fly(ring, target, state, surrogate, plan, rng), state.cells, costs)
    new = replace(state, positions=state.positions.copy(), energies=state.energies.copy(), forces=state.forces.copy())
    infos = [_decide(ring, target, state, proposal, costs, new, w, plan, rng) for w in range(len(state.positions))]
    return new, tuple(infos)


def fly(ring: RingPolymer, target: Target, state: State, surrogate: Potential, plan: Plan, rng: Rng) -> Flight:
    """Trajectories of every walker on the surrogate, with fresh momenta and lengths."""
    base = target.system.structure

    def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
        return evaluate(surrogate, base, positions, state.cells[walkers])

    steps, momenta = _draws(ring, state, plan, rng, log_uniform=True)
    energies, gradient = forces(np.arange(len(steps)), state.positions)
    start = Trajectory(state.positions, momenta, energies, gradient, ~sane(energies, gradient))
    return Flight(start, integrate(ring, start, forces, plan.timestep_fs, steps), steps)


def evaluate(surrogate: Potential, base: Structure, positions: Array, cells: Array) -> tuple[Array, Array]:
    """Energies (A, P) eV and forces (A, P, N, 3) eV/A of a potential at (A, P, N, 3) A in cells (A, 3, 3) A.

    Rings in one cell are evaluated together.
    """
    energies, forces = np.empty(positions.shape[:2]), np.empty(positions.shape)
    _, place = np.unique(cells.reshape(len(cells), -1), axis=0, return_inverse=True)
    for number in range(place.max(initial=-1) + 1):
        rings = np.flatnonzero(place.reshape(-1) == number)
        chosen = positions[rings]
        value = surrogate.evaluate(chosen.reshape(-1, *chosen.shape[2:]), base.numbers, cells[rings[0]], base.pbc)
        energies[rings], forces[rings] = value.energy.reshape(chosen.shape[:2]), value.forces.reshape(chosen.shape)
    return energies, forces


def motion_energy(ring: RingPolymer, at: Trajectory, w: int) -> float:
    """Kinetic energy and springs of walker w, eV."""
    return ring.kinetic(at.momenta[w]) + ring.spring_energy(ring.to_modes(at.positions[w]))


def _draws(ring: RingPolymer, state: State, plan: Plan, rng: Rng, log_uniform: bool) -> tuple[Array, Array]:
    """Time steps (W,) and momenta (W, P, N, 3)."""
    walkers = range(len(state.positions))
    steps = np.array([draw_steps(rng("length", w), plan.timestep_fs, plan.trajectory_fs, log_uniform) for w in walkers])
    return steps, np.array([ring.draw_momenta(rng("momenta", w)) for w in walkers])


def _known(state: State, costs: _Costs) -> State:
    """Label the rings that exploration left without the target's values."""
    unknown = np.flatnonzero(np.isnan(state.energies).any(axis=1))
    if not len(unknown):
        return state
    energies, forces = state.energies.copy(), state.forces.copy()
    values = costs.label(unknown, state.positions[unknown], state.cells[unknown])
    energies[unknown] = values.energies.reshape(len(unknown), -1)
    forces[unknown] = values.forces.reshape(len(unknown), *forces.shape[1:])
    return replace(state, energies=energies, forces=forces)


def _arrived(flight: Flight, cells: Array, costs: _Costs) -> _Proposal:
    """The target at the end points of the trajectories that were not trapped."""
    end = flight.end
    energies, forces = np.full_like(end.energies, np.inf), np.full_like(end.forces, np.nan)
    arrived = np.flatnonzero(~end.trapped)
    if len(arrived):
        values = costs.label(arrived, end.positions[arrived], cells[arrived])
        for a, w in enumerate(arrived):
            costs.keep(int(w), values, a, 0)
        energies[arrived] = values.energies.reshape(len(arrived), -1)
        forces[arrived] = values.forces.reshape(len(arrived), *forces.shape[1:])
    return _Proposal(flight, energies, forces)


def _first_principles(ring: RingPolymer, state: State, costs: _Costs, plan: Plan, rng: Rng) -> _Proposal:
    steps, momenta = _draws(ring, state, plan, rng, log_uniform=plan.phase is Phase.PRODUCTION)
    latest: dict[int, tuple[TargetValues, int]] = {}

    def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
        values = costs.label(walkers, positions, state.cells[walkers])
        for a, w in enumerate(walkers):
            latest[int(w)] = (values, a)
        shape = positions.shape
        return values.energies.reshape(shape[:2]), values.forces.reshape(shape)

    def watch(k: int, walkers: Array, _: Trajectory) -> None:
        for w in walkers:
            last = k == steps[w]
            if last or k % PATH_EVERY == 0:
                costs.keep(int(w), *latest[int(w)], 0 if last else k)

    start = Trajectory(state.positions, momenta, state.energies, state.forces, np.zeros(len(steps), bool))
    end = integrate(ring, start, forces, plan.timestep_fs, steps, watch)
    return _Proposal(Flight(start, end, steps), np.where(end.trapped[:, None], np.inf, end.energies), end.forces)


def _decide(
    ring: RingPolymer, target: Target, old: State, proposal: _Proposal, costs: _Costs, new: State, w: int, plan: Plan, rng: Rng
) -> Info:
    """Accept or reject walker w; writes the accepted walker into `new`."""
    start, end, steps = proposal.flight
    motion = motion_energy(ring, end, w) - motion_energy(ring, start, w)
    driver = float(np.mean(end.energies[w]) - np.mean(start.energies[w]))
    change = float(np.mean(proposal.energies[w]) - np.mean(old.energies[w]))
    log_ratio = np.nan if end.trapped[w] else -ring.beta * (motion + change)
    accepted = accept(log_ratio, rng("accept", w))
    if accepted:
        new.positions[w], new.energies[w], new.forces[w] = end.positions[w], proposal.energies[w], proposal.forces[w]
    return Info(
        accepted=accepted,
        outcome=_outcome(accepted, bool(end.trapped[w]), costs.points[w], change),
        log_ratio=log_ratio,
        log_ratio_integrator=-ring.beta * (motion + driver),
        log_ratio_model=-ring.beta * (change - driver),
        md_steps=int(steps[w]),
        length_fs=int(steps[w]) * plan.timestep_fs,
        points=tuple(costs.points[w]),
        engine_calls=int(costs.calls[w]),
        engine_failures=int(costs.failures[w]),
        observables=observe(ring, target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w]),
    )


def _outcome(accepted: bool, trapped: bool, points: list[Point], change: float) -> str:
    if accepted:
        return "accepted"
    if np.isposinf(change) and any(r is not None for p in points for r in p.refused):
        return "rejected: engine_failure"
    return "rejected: surrogate" if trapped else "rejected"
