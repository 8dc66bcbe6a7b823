"""One hybrid Monte Carlo step of ring polymers, driven by the surrogate or by first principles, decided by first principles.

ln of the acceptance ratio: -beta [K' + springs' + V_target' - (K + springs + V_target)], V the bead average
(docs/methods.md: the self-learning rule). The driving potential cancels, so a wrong one costs acceptance only. Where the
driver has been tested on the way (segments, delayed acceptance), only the rest of this ratio is left to test. A mixture
(mixing.py) puts alpha V_target + (1 - alpha) V_surrogate in the place of V_target, and the rest into the samples' weights.
At constant pressure the cell changes on the way, in a jump (palindrome.py) or with the trajectory (extended.py), and p dV and the
measure of the cell join the energies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.records import Phase
from sim_daemon.moves.accept import accept, second_stage
from sim_daemon.moves.cell import Barostat
from sim_daemon.moves.flight import Course, Departure, Flight, Fly, depart, draw_motion, draw_way, go, log_ratios, straight
from sim_daemon.moves.jump import squared_jump
from sim_daemon.moves.known import known
from sim_daemon.moves.palindrome import jumping
from sim_daemon.moves.thermostat import Refreshment
from sim_daemon.moves.trajectory import Driven, Trajectory, sane
from sim_daemon.observables import observe, observe_cell, observe_stress
from sim_daemon.samplers.base import LOG_WEIGHT, REFUSED, Info, Plan, Point, State, copied, stresses_of
from sim_daemon.target import Target, TargetValues

PATH_EVERY = 5  # every fifth point of a first-principles path is kept as a label: neighbours are near-copies


class Costs:
    """The target, with points and engine calls booked to walkers."""

    def __init__(self, target: Target, beads: int, walkers: int) -> None:
        self._target, self._beads = target, beads
        self.points: list[list[Point]] = [[] for _ in range(walkers)]
        self.calls, self.failures = np.zeros(walkers, int), np.zeros(walkers, int)

    def label(self, walkers: Array, positions: Array, cells: Array) -> TargetValues:
        """Target at (A, P, N, 3) A in the cells (A, 3, 3) A of the given walkers; P may be another number than the ring's."""
        values = self._target(positions.reshape(-1, *positions.shape[2:]), np.repeat(cells, positions.shape[1], axis=0))
        self.calls[walkers] += values.calls.reshape(len(walkers), -1).sum(axis=1)
        self.failures[walkers] += values.failures.reshape(len(walkers), -1).sum(axis=1)
        return values

    def keep(self, walker: int, values: TargetValues, a: int, point: int, cell: Array, beads: int = 0) -> None:
        """Store the labels of one point of a walker, the a-th ring of `values`, in a cell (3, 3) A; beads: 0 for the ring's."""
        count = beads or self._beads
        chosen = slice(a * count, (a + 1) * count)
        kept = Point(point, tuple(range(count)), values.positions[chosen], values.labels[chosen], values.refused[chosen], cell)
        self.points[walker].append(kept)


class Mixture(NamedTuple):
    """alpha V_target + (1 - alpha) V_surrogate decides: what it needs of the surrogate, means over the beads."""

    alpha: float
    start: Array  # (W,) eV, where the walkers stand
    end: Array  # (W,) eV, where they want to go


class Proposal(NamedTuple):
    """Where W walkers want to go, with the target's values there."""

    course: Course
    energies: Array  # (W, P) eV; +infinity where trapped or refused
    forces: Array  # (W, P, N, 3) eV/A
    stresses: Array | None = None  # (W, P, 3, 3) eV/A^3; None where the state has none
    mixture: Mixture | None = None  # None: the target decides


Propose = Callable[[RingPolymer, Departure, Costs, Plan, Rng], Proposal]


def arriving(fly: Fly) -> Propose:
    """Proposals whose end points alone are labelled."""

    def propose(ring: RingPolymer, departure: Departure, costs: Costs, plan: Plan, rng: Rng) -> Proposal:
        return arrived(fly(ring, departure, plan, rng), departure.state, costs)

    return propose


class Rules(NamedTuple):
    """What the settings say of a step."""

    refreshment: Refreshment | None = None  # of the momenta; None: all of them are fresh, and none are kept
    propose: Propose = arriving(straight(None))  # with a surrogate
    barostat: Barostat | None = None


PLAIN = Rules()


def at_pressure(barostat: Barostat | None) -> Rules:
    """Plain trajectories, the cell varying under a barostat."""
    return Rules(propose=arriving(straight(barostat)), barostat=barostat)


def ring_step(
    ring: RingPolymer,
    target: Target,
    state: State,
    surrogate: Potential | None,
    plan: Plan,
    rng: Rng,
    rules: Rules = PLAIN,
    costs: Costs | None = None,
) -> tuple[State, tuple[Info, ...]]:
    """One step of every walker; `surrogate` None means that first principles drive the trajectory.

    costs: fresh ones, where something else stands for the target.
    """
    costs = costs or Costs(target, ring.beads, len(state.positions))
    state = known(state, costs.label)
    if surrogate is None:
        proposal = _first_principles(ring, state, costs, plan, rng, rules)
    else:
        departure = depart(ring, target.system.structure, state, surrogate, plan, rng, rules.refreshment)
        proposal = rules.propose(ring, departure, costs, plan, rng)
    course = proposal.course
    new = replace(
        copied(state),
        momenta=None if rules.refreshment is None else -course.flight.start.momenta,  # what a rejection leaves
        cheap_energies=None if course.cheap_start is None else course.cheap_start.copy(),
    )
    infos = [_decide(ring, target, state, proposal, costs, new, w, plan, rng, rules) for w in range(len(state.positions))]
    return new, tuple(infos)


def arrived(course: Course, state: State, costs: Costs) -> Proposal:
    """The target at the end points of the trajectories that were not trapped."""
    end, cells = course.flight.journey.end, course.flight.journey.cells
    energies, forces = np.full_like(state.energies, np.inf), np.full_like(state.forces, np.nan)
    stresses = None if state.stresses is None else np.full_like(state.stresses, np.nan)
    free = np.flatnonzero(~end.trapped)
    if len(free):
        values = costs.label(free, end.positions[free], cells[free])
        for a, w in enumerate(free):
            costs.keep(int(w), values, a, 0, cells[w])
        energies[free] = values.energies.reshape(len(free), -1)
        forces[free] = values.forces.reshape(len(free), *forces.shape[1:])
        if stresses is not None:
            stresses[free] = values.stresses.reshape(len(free), -1, 3, 3)
    return Proposal(course, energies, forces, stresses)


def _first_principles(ring: RingPolymer, state: State, costs: Costs, plan: Plan, rng: Rng, rules: Rules) -> Proposal:
    barostat = rules.barostat
    steps, momenta = draw_motion(ring, state, plan, rng, rules.refreshment, log_uniform=plan.phase is Phase.PRODUCTION)
    way = draw_way(len(steps), plan, rng, barostat, steps)
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
        refused = np.any(energies == np.inf, axis=1)  # the row says so, and the structure goes to quarantine
        for a in np.flatnonzero(sane(energies, forces) | refused):
            w = int(walkers[a])
            if met[w] == last[w] or met[w] % PATH_EVERY == 0 or refused[a]:
                costs.keep(w, values, int(a), 0 if met[w] == last[w] else int(met[w]), cells[a])
        if latest is None:
            return Driven(energies, forces, None)
        latest[walkers] = values.stresses.reshape(*shape[:2], 3, 3)
        return Driven(energies, forces, latest[walkers])

    start = Trajectory(state.positions, momenta, state.energies, state.forces, np.zeros(len(steps), bool), state.stresses)
    journey = go(ring, barostat, start, state.cells, driver, plan, way, rng)
    energies = np.where(journey.end.trapped[:, None], np.inf, journey.end.energies)
    return Proposal(Course(Flight(start, journey)), energies, journey.end.forces, latest)


def _decide(
    ring: RingPolymer,
    target: Target,
    old: State,
    proposal: Proposal,
    costs: Costs,
    new: State,
    w: int,
    plan: Plan,
    rng: Rng,
    rules: Rules,
) -> Info:
    """Accept or reject walker w; writes the accepted walker into `new`."""
    course = proposal.course
    end, steps, cells, _, _ = course.flight.journey
    change, mixture = float(np.mean(proposal.energies[w]) - np.mean(old.energies[w])), proposal.mixture
    parts = log_ratios(ring, course.flight, w, change if mixture is None else _mixed(mixture, w, change))
    integrator = parts.integrator if course.integrator is None else float(course.integrator[w])
    model = parts.model if course.integrator is None or course.tested else parts.whole - integrator
    left = second_stage(parts.integrator, parts.whole) if course.tested else parts.whole
    log_ratio = np.nan if end.trapped[w] else left
    accepted = accept(log_ratio, rng("accept", w))
    if accepted:
        new.positions[w], new.energies[w], new.forces[w] = end.positions[w], proposal.energies[w], proposal.forces[w]
        new.cells[w] = cells[w]
        if new.stresses is not None:
            new.stresses[w] = np.nan if proposal.stresses is None else proposal.stresses[w]
        if new.momenta is not None:
            new.momenta[w] = end.momenta[w]
        if new.cheap_energies is not None and course.cheap is not None:
            new.cheap_energies[w] = course.cheap[w]
    seen = observe(ring.of(w), target.system.structure.numbers, new.positions[w], new.energies[w], new.forces[w])
    if rules.barostat is not None:
        seen = {**seen, **observe_cell(ring, rules.barostat, new.cells[w])}
    seen = {**seen, **observe_stress(ring.of(w), new.cells[w], new.positions[w], new.forces[w], stresses_of(new, w))}
    if mixture is not None:
        residual = float(np.mean(new.energies[w]) - (mixture.end if accepted else mixture.start)[w])
        seen = {**seen, "residual_eV": residual, LOG_WEIGHT: -ring.beta * (1 - mixture.alpha) * residual}
    return Info(
        accepted=accepted,
        outcome=_outcome(accepted, bool(end.trapped[w]), costs.points[w], change, course, w),
        log_ratio=log_ratio,
        log_ratio_integrator=integrator,
        log_ratio_model=model,
        md_steps=int(steps[w]),
        length_fs=int(steps[w]) * plan.timestep_fs,
        points=tuple(costs.points[w]),
        engine_calls=int(costs.calls[w]),
        engine_failures=int(costs.failures[w]),
        observables=seen,
        log_ratio_cell=parts.cell,
        cheap_calls=0 if course.cheap_calls is None else int(course.cheap_calls[w]),
        squared_jump_A2=_squared_jump(ring, target, old, course.flight, w),
    )


def _squared_jump(ring: RingPolymer, target: Target, old: State, flight: Flight, w: int) -> float:
    """Of the proposal of walker w, accepted or not; NaN where it was trapped."""
    end, cells = flight.journey.end, flight.journey.cells
    if end.trapped[w]:
        return float("nan")
    centroids = old.positions[w].mean(axis=0), end.positions[w].mean(axis=0)
    return squared_jump(ring.of(w).masses, *centroids, (old.cells[w], cells[w]), target.system.structure.pbc)


def _mixed(mixture: Mixture, w: int, change: float) -> float:
    """The change of the mixture's energy, eV, from that of the target."""
    return mixture.alpha * change + (1 - mixture.alpha) * float(mixture.end[w] - mixture.start[w])


def _outcome(accepted: bool, trapped: bool, points: list[Point], change: float, course: Course, w: int) -> str:
    if accepted:
        return "accepted"
    if np.isposinf(change) and any(r is not None for p in points for r in p.refused):
        return REFUSED
    if trapped and course.cheap is not None and np.isfinite(course.cheap[w]).all():
        return f"rejected: {course.judge}"
    return "rejected: surrogate" if trapped else "rejected"
