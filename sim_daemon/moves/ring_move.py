"""One hybrid Monte Carlo step of ring polymers, driven by the surrogate or by first principles, decided by first principles.

ln of the acceptance ratio: -beta [K' + springs' + V_target' - (K + springs + V_target)], V the bead average
(docs/methods.md: the self-learning rule). The driving potential cancels, so a wrong one costs acceptance only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.records import Phase
from sim_daemon.moves.accept import accept
from sim_daemon.moves.trajectory import Trajectory, draw_steps, integrate, sane
from sim_daemon.observables import observe
from sim_daemon.samplers.base import Info, Plan, Point, State
from sim_daemon.target import Target, TargetValues

PATH_EVERY = 5  # every fifth point of a first-principles path is kept as a label: neighbours are near-copies


class _Proposal(NamedTuple):
    """What a trajectory of W walkers left behind."""

    start: Trajectory
    end: Trajectory
    energies: Array  # (W, P) eV, target; +infinity where trapped or refused
    forces: Array  # (W, P, N, 3) eV/A, target
    points: list[list[Point]]  # by walker, the proposal last
    calls: Array  # (W,)
    failures: Array  # (W,)


@dataclass
class _Path:
    """The target as the force of a trajectory; keeps the labels it pays for."""

    target: Target
    beads: int
    points: list[list[Point]]
    calls: Array
    failures: Array

    def label(self, walkers: Array, positions: Array) -> TargetValues:
        """Target at (A, P, N, 3) A of the given walkers, costs booked to them."""
        values = self.target(positions.reshape(-1, *positions.shape[2:]))
        self.calls[walkers] += values.calls.reshape(len(walkers), -1).sum(axis=1)
        self.failures[walkers] += values.failures.reshape(len(walkers), -1).sum(axis=1)
        return values

    def keep(self, walker: int, values: TargetValues, a: int, point: int) -> None:
        """Store the labels of one point of a walker, the a-th ring of `values`."""
        beads = slice(a * self.beads, (a + 1) * self.beads)
        self.points[walker].append(Point(point, values.positions[beads], values.labels[beads], values.refused[beads]))


def ring_step(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential | None, plan: Plan, rng: Rng
) -> tuple[State, tuple[Info, ...]]:
    """One step of every walker; `surrogate` None means that first principles drive the trajectory."""
    walkers = range(len(state.positions))
    log_uniform = surrogate is not None or plan.phase is Phase.PRODUCTION
    steps = np.array([draw_steps(rng("length", w), plan.timestep_fs, plan.trajectory_fs, log_uniform) for w in walkers])
    momenta = np.array([ring.draw_momenta(rng("momenta", w)) for w in walkers])
    if surrogate is None:
        proposal = _first_principles(ring, target, state, momenta, plan.timestep_fs, steps)
    else:
        proposal = _surrogate(ring, target, state, surrogate, momenta, plan.timestep_fs, steps)
    new = State(state.positions.copy(), state.energies.copy(), state.forces.copy())
    infos = []
    for w in walkers:
        infos.append(_decide(ring, target, state, proposal, new, w, int(steps[w]), plan.timestep_fs, rng))
    return new, tuple(infos)


def _surrogate(
    ring: RingPolymer, target: Target, state: State, surrogate: Potential, momenta: Array, timestep_fs: float, steps: Array
) -> _Proposal:
    base = target.system.structure

    def forces(_: Array, positions: Array) -> tuple[Array, Array]:
        flat = positions.reshape(-1, *positions.shape[2:])
        value = surrogate.evaluate(flat, base.numbers, base.cell, base.pbc)
        return value.energy.reshape(positions.shape[:2]), value.forces.reshape(positions.shape)

    everyone = np.arange(len(steps))
    energies, gradient = forces(everyone, state.positions)
    start = Trajectory(state.positions, momenta, energies, gradient, ~sane(energies, gradient))
    end = integrate(ring, start, forces, timestep_fs, steps)
    path = _new_path(target, ring.beads, len(steps))
    target_energies, target_forces = np.full_like(energies, np.inf), np.full_like(gradient, np.nan)
    arrived = np.flatnonzero(~end.trapped)
    if len(arrived):
        values = path.label(arrived, end.positions[arrived])
        for a, w in enumerate(arrived):
            path.keep(int(w), values, a, 0)
        target_energies[arrived] = values.energies.reshape(len(arrived), -1)
        target_forces[arrived] = values.forces.reshape(len(arrived), *gradient.shape[1:])
    return _Proposal(start, end, target_energies, target_forces, path.points, path.calls, path.failures)


def _first_principles(
    ring: RingPolymer, target: Target, state: State, momenta: Array, timestep_fs: float, steps: Array
) -> _Proposal:
    path = _new_path(target, ring.beads, len(steps))
    latest: dict[int, tuple[TargetValues, int]] = {}

    def forces(walkers: Array, positions: Array) -> tuple[Array, Array]:
        values = path.label(walkers, positions)
        for a, w in enumerate(walkers):
            latest[int(w)] = (values, a)
        shape = positions.shape
        return values.energies.reshape(shape[:2]), values.forces.reshape(shape)

    def watch(k: int, walkers: Array, _: Trajectory) -> None:
        for w in walkers:
            last = k == steps[w]
            if last or k % PATH_EVERY == 0:
                path.keep(int(w), *latest[int(w)], 0 if last else k)

    start = Trajectory(state.positions, momenta, state.energies, state.forces, np.zeros(len(steps), bool))
    end = integrate(ring, start, forces, timestep_fs, steps, watch)
    energies = np.where(end.trapped[:, None], np.inf, end.energies)
    return _Proposal(start, end, energies, end.forces, path.points, path.calls, path.failures)


def _new_path(target: Target, beads: int, walkers: int) -> _Path:
    return _Path(target, beads, [[] for _ in range(walkers)], np.zeros(walkers, int), np.zeros(walkers, int))


def _decide(
    ring: RingPolymer,
    target: Target,
    old: State,
    proposal: _Proposal,
    new: State,
    w: int,
    steps: int,
    timestep_fs: float,
    rng: Rng,
) -> Info:
    """Accept or reject walker w; writes the accepted walker into `new`."""
    start, end = proposal.start, proposal.end
    motion = _motion_energy(ring, end, w) - _motion_energy(ring, start, w)
    driver = float(np.mean(end.energies[w]) - np.mean(start.energies[w]))
    change = float(np.mean(proposal.energies[w]) - np.mean(old.energies[w]))
    log_ratio = np.nan if end.trapped[w] else -ring.beta * (motion + change)
    accepted = accept(log_ratio, rng("accept", w))
    if accepted:
        new.positions[w], new.energies[w], new.forces[w] = end.positions[w], proposal.energies[w], proposal.forces[w]
    return Info(
        accepted=accepted,
        outcome=_outcome(accepted, bool(end.trapped[w]), proposal.points[w], change),
        log_ratio=log_ratio,
        log_ratio_integrator=-ring.beta * (motion + driver),
        log_ratio_model=-ring.beta * (change - driver),
        md_steps=steps,
        length_fs=steps * timestep_fs,
        points=tuple(proposal.points[w]),
        engine_calls=int(proposal.calls[w]),
        engine_failures=int(proposal.failures[w]),
        observables=observe(ring, target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w]),
    )


def _motion_energy(ring: RingPolymer, at: Trajectory, w: int) -> float:
    return ring.kinetic(at.momenta[w]) + ring.spring_energy(ring.to_modes(at.positions[w]))


def _outcome(accepted: bool, trapped: bool, points: list[Point], change: float) -> str:
    if accepted:
        return "accepted"
    if np.isposinf(change) and any(r is not None for p in points for r in p.refused):
        return "rejected: engine_failure"
    return "rejected: surrogate" if trapped else "rejected"
