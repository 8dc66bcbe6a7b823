"""Generalised hybrid Monte Carlo of ring polymers on a surrogate, and its segments as proposals.

One move: half a PILE-L thermostat, a few Verlet steps, Metropolis on the surrogate with the flip of the momenta on rejection,
half a thermostat. Moves leave the surrogate's ensemble as it is, whatever the time step, and a row of them reads the same
backwards; so a segment that begins with momenta from their own distribution is a reversible proposal, and first principles have
only exp(-beta d(V_target - V_surrogate)) left to test (docs/methods.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from pydantic import Field

from kernels.arrays import Array
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from protocol.settings import Section
from sim_daemon.moves.accept import accept
from sim_daemon.moves.flight import Course, Departure, Flight, driver_log_ratio, in_place
from sim_daemon.moves.thermostat import pile, refresh
from sim_daemon.moves.trajectory import Forces, Trajectory, integrate
from sim_daemon.samplers.base import Plan


class Segment(Section):
    """The moves that a segment is made of."""

    verlet_steps: int = Field(default=4, ge=1, le=8)  # of one move
    centroid_friction_per_fs: float = Field(default=0.01, gt=0, le=10)  # of the thermostat; internal modes have that of PILE-L


class GhmcRun(NamedTuple):
    """A stretch of the surrogate-only chain of W walkers."""

    end: Trajectory
    probability: Array  # (W,) mean acceptance probability of the moves


def ghmc_chain(
    ring: RingPolymer,
    start: Trajectory,
    forces: Forces,
    rules: Segment,
    timestep_fs: float,
    moves: Array,
    generators: Array,
    watch: Callable[[int, Array, Trajectory], None] | None = None,
) -> GhmcRun:
    """Walker w by moves[w] moves, its random numbers from generators[w], (W,) of objects; exact for the ensemble of `forces`.

    start: positions, momenta, energies and forces; a trapped walker stays where it is.  `watch(k, walkers, now)` sees those
    that took move k (from 1).  Stretches may follow one another: two of n moves are one of 2n, to the bit.  A walker's bits do
    not depend on the others.
    """
    now = Trajectory(*(part.copy() for part in start[:5]))
    kept = pile(ring, 0.5 * rules.verlet_steps * timestep_fs, rules.centroid_friction_per_fs)
    probability = np.zeros(len(moves))
    for k in range(1, int(moves.max(initial=0)) + 1):
        moving = np.flatnonzero((moves >= k) & ~now.trapped)
        if not len(moving):
            break
        for w in moving:
            now.momenta[w] = refresh(ring, now.momenta[w], kept, generators[w])
        here = Trajectory(*(part[moving] for part in now[:5]))
        steps = np.full(len(moving), rules.verlet_steps)
        there = integrate(ring, here, some(forces, moving), timestep_fs, steps)
        for a, w in enumerate(moving):
            log_ratio = driver_log_ratio(ring, here, there, a)
            probability[w] += 0.0 if math.isnan(log_ratio) else math.exp(min(0.0, log_ratio))
            if accept(log_ratio, generators[w]):
                for part, new in zip(now[:4], there[:4], strict=True):
                    part[w] = new[a]
            else:
                now.momenta[w] *= -1
            now.momenta[w] = refresh(ring, now.momenta[w], kept, generators[w])
        if watch:
            watch(k, moving, now)
    return GhmcRun(now, probability / np.maximum(moves, 1))


def some(forces: Forces, moving: Array) -> Forces:
    """The forces of some of the walkers, by their place among them.  moving: (A,) int, their numbers."""
    return lambda places, positions: forces(moving[places], positions)


def fly_segment(rules: Segment) -> Callable[[RingPolymer, Departure, Plan, Rng], Course]:
    """Proposals that are segments of about the plan's length; one that ends where it began is given up."""

    def fly(ring: RingPolymer, departure: Departure, plan: Plan, rng: Rng) -> Course:
        start = departure.start
        moves = np.maximum(1, np.round(departure.steps / rules.verlet_steps).astype(int))
        generators = np.array([rng("segment", w) for w in range(len(moves))], dtype=object)
        end, probability = ghmc_chain(ring, start, departure.forces, rules, plan.timestep_fs, moves, generators)
        stayed = (end.positions == start.positions).all(axis=(1, 2, 3))
        with np.errstate(divide="ignore"):
            told = np.log(probability)
        steps, ended = moves * rules.verlet_steps, end._replace(trapped=end.trapped | stayed)
        return Course(Flight(start, in_place(ended, steps, departure.state.cells)), told, True)

    return fly
