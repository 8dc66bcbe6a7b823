"""Proposals that a mixture decides: V_mix = alpha V_target + (1 - alpha) V_surrogate, alpha being the plan's.

Only alpha times the residual must pass the test; the rest, -beta (1 - alpha) (V_target - V_surrogate), is the log of a sample's
weight (docs/methods.md: mixtures). Contracted rings may make a first test, so that what fails it costs fewer calls.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.flight import Course, Departure, Fly
from sim_daemon.moves.ring_move import Costs, Mixture, Proposal, Propose, arrived
from sim_daemon.samplers.base import Plan

# of a course that the surrogate drove; may label, and trap walkers
Screen = Callable[[RingPolymer, Departure, Course, Costs, Plan, Rng], Course]


def mixed(fly: Fly, screen: Screen | None = None) -> Propose:
    """The proposals of `fly`, whose ends must have the surrogate's energies, decided by the mixture."""

    def propose(ring: RingPolymer, departure: Departure, costs: Costs, plan: Plan, rng: Rng) -> Proposal:
        course = fly(ring, departure, plan, rng)
        ends = departure.start.energies, course.flight.journey.end.energies
        start, end = (np.mean(energies, axis=1) for energies in ends)
        if screen:
            course = screen(ring, departure, course, costs, plan, rng)
        return arrived(course, departure.state, costs)._replace(mixture=Mixture(plan.alpha, start, end))

    return propose
