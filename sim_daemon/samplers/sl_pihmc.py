"""sl_pihmc: surrogate trajectory, first-principles accept step; beads: 1 is self-learning HMC.

Before first weights exist, first principles drive the trajectory, so that the simulator never waits and its labels start
the training.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.cell import barostat_of
from sim_daemon.moves.explore import EXPLORE_HEAT, explore_step
from sim_daemon.moves.ring_move import ring_step
from sim_daemon.samplers.base import Info, Move, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """sl_pihmc: exact for the first-principles ensemble of P beads, whatever the surrogate."""

    name: Literal["sl_pihmc"] = "sl_pihmc"


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler."""

    barostat = barostat_of(settings.ensemble, target.system.structure)
    hot = ring.heated(EXPLORE_HEAT)

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        if plan.move is Move.EXPLORE and surrogate is not None:
            return explore_step(hot, target, state, surrogate, plan, rng, barostat)
        return ring_step(ring, target, state, surrogate, plan, rng, barostat)

    return Sampler(partial(start_state, target, with_stress=barostat is not None), step)
