"""Delayed acceptance: a cheap test first, and the full one only for what has passed it (docs/methods.md).

Stage 1 accepts with min(1, pi_1' / pi_1), stage 2 with min(1, [pi' / pi] / [pi_1' / pi_1]): balance with pi holds whatever pi_1
is. What fails stage 1 costs no call of the engine.
"""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.errors import EngineFailed
from sim_daemon.moves.accept import accept, second_stage
from sim_daemon.moves.flight import Course, Departure, Flight, Fly, driver_log_ratio, motion_energy, straight
from sim_daemon.samplers.base import Plan
from sim_daemon.target import Target


def surrogate_first(ring: RingPolymer, departure: Departure, plan: Plan, rng: Rng) -> Course:
    """Trajectories on the surrogate that it accepts or rejects itself, as the first stage."""
    start, journey = straight(None)(ring, departure, plan, rng).flight
    ratios = [driver_log_ratio(ring, start, journey.end, w) for w in range(len(journey.steps))]
    passed = np.array([accept(ratio, rng("accept surrogate", w)) for w, ratio in enumerate(ratios)])
    return Course(Flight(start, journey._replace(end=journey.end._replace(trapped=~passed))), np.array(ratios), True)


def cheap_engine_first(fly: Fly, cheap: Target) -> Fly:
    """The same proposals, with a test by a cheap engine between them and the full one."""

    def screened(ring: RingPolymer, departure: Departure, plan: Plan, rng: Rng) -> Course:
        course = fly(ring, departure, plan, rng)
        end, state = course.flight.journey.end, departure.state
        calls = np.zeros(len(end.trapped), int)
        before = state.cheap_energies
        if before is None:
            before = _energies(cheap, state.positions, state.cells, np.arange(len(calls)), calls)
        if not np.isfinite(before).all():
            raise EngineFailed("the cheap engine has no label for a structure of the chain", next="take another cheap_engine")
        after, arrived = np.full_like(before, np.inf), np.flatnonzero(~end.trapped)
        after[arrived] = _energies(cheap, end.positions[arrived], state.cells[arrived], arrived, calls)
        judged = first_test(ring, course, before, after, rng, "accept cheap")
        return judged._replace(cheap=after, cheap_start=before, cheap_calls=calls)

    return screened


def first_test(ring: RingPolymer, course: Course, before: Array, after: Array, rng: Rng, purpose: str) -> Course:
    """The course after a test by a potential whose energies at its ends are `before` and `after`, (W, K) eV, means over K.

    It tests what the surrogate has not tested already; who fails it is trapped.
    """
    start, journey = course.flight
    end, trapped = journey.end, journey.end.trapped.copy()
    for w in range(len(trapped)):
        ratio = _log_ratio(ring, course, before, after, w)
        trapped[w] |= not accept(ratio, rng(purpose, w))
    judged = Flight(start._replace(energies=before), journey._replace(end=end._replace(energies=after, trapped=trapped)))
    told = course.integrator
    if told is None:
        told = np.array([driver_log_ratio(ring, start, end, w) for w in range(len(trapped))])
    return Course(judged, told, True)


def _energies(cheap: Target, positions: Array, cells: Array, walkers: Array, calls: Array) -> Array:
    """Energies (A, P) eV of the cheap engine at (A, P, N, 3) A, its calls added to those of the walkers."""
    if not len(positions):
        return np.zeros(positions.shape[:2])
    values = cheap(positions.reshape(-1, *positions.shape[2:]), np.repeat(cells, positions.shape[1], axis=0))
    calls[walkers] += values.calls.reshape(len(walkers), -1).sum(axis=1)
    energies: Array = values.energies.reshape(positions.shape[:2])
    return energies


def _log_ratio(ring: RingPolymer, course: Course, before: Array, after: Array, w: int) -> float:
    """ln of the acceptance ratio of walker w by the potential of `before` and `after`, less what has been tested already."""
    start, end = course.flight.start, course.flight.journey.end
    if end.trapped[w] or not np.isfinite(after[w]).all():
        return float("nan")
    motion = motion_energy(ring, end, w) - motion_energy(ring, start, w)
    first = -ring.beta * (motion + float(np.mean(end.energies[w]) - np.mean(start.energies[w])))
    full = -ring.beta * (motion + float(np.mean(after[w]) - np.mean(before[w])))
    return second_stage(first, full) if course.tested else full
