"""pihmc: path-integral hybrid Monte Carlo, first principles in the trajectory and in the accept step; beads: 1 is HMC."""

from __future__ import annotations

from functools import partial
from typing import Literal

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.moves.cell import barostat_of
from sim_daemon.moves.ring_move import ring_step
from sim_daemon.samplers.base import Info, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """pihmc: the control that every self-learning run is compared with."""

    name: Literal["pihmc"] = "pihmc"


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler; a surrogate that is offered is not used."""

    barostat = barostat_of(settings.ensemble, target.system.structure)

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        return ring_step(ring, target, state, None, plan, rng, barostat)

    return Sampler(partial(start_state, target, with_stress=barostat is not None), step)
