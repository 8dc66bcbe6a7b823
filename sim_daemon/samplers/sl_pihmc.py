"""sl_pihmc: surrogate trajectory, first-principles accept step; beads: 1 is self-learning HMC.

Before first weights exist, first principles drive the trajectory, so that the simulator never waits and its labels start
the training.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field, model_validator

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.ensembles import Npt
from sim_daemon.moves.cell import Barostat, barostat_of
from sim_daemon.moves.delayed import cheap_engine_first, surrogate_first
from sim_daemon.moves.exchange import Ladder, check_ladder, climbing
from sim_daemon.moves.explore import EXPLORE_HEAT, explore_step
from sim_daemon.moves.flight import straight
from sim_daemon.moves.ghmc import Segment, fly_segment
from sim_daemon.moves.multiple_time_step import kicked
from sim_daemon.moves.ring_move import Propose, Rules, arriving, ring_step
from sim_daemon.moves.thermostat import Refreshment
from sim_daemon.moves.walk import resume_chain, walk_step
from sim_daemon.samplers.base import WALKS, Info, Move, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """sl_pihmc: exact for the first-principles ensemble of P beads, whatever the surrogate."""

    name: Literal["sl_pihmc"] = "sl_pihmc"
    refreshment: Refreshment | None = None  # None: fresh momenta for every proposal
    proposal: Literal["trajectory", "segment", "multiple_time_step"] = "trajectory"
    segment: Segment | None = None  # None: its defaults
    kick_every: int = Field(4, ge=1, le=1000)  # time steps of the surrogate between two kicks of multiple_time_step
    delayed_acceptance: Literal["none", "surrogate", "cheap_engine"] = "none"  # who judges a proposal before the engine is called
    ladder: Ladder | None = None  # of temperatures; None: all walkers at that of the ensemble

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Settings:
        if self.segment is not None and self.proposal != "segment":
            raise ValueError(f"segment is for proposal: segment, not {self.proposal}; leave one of them out")
        unset = type(self).model_fields["kick_every"].default  # a resolved file names it though nobody has set it
        if self.kick_every != unset and self.proposal != "multiple_time_step":
            raise ValueError(f"kick_every is for proposal: multiple_time_step, not {self.proposal}; leave one of them out")
        plain = self.refreshment is None and self.proposal == "trajectory" and self.delayed_acceptance == "none"
        if isinstance(self.ensemble, Npt) and not plain:
            raise ValueError("constant pressure needs fresh momenta, proposal: trajectory and delayed_acceptance: none")
        check_ladder(self.ladder, self, plain)
        if self.proposal == "multiple_time_step" and self.delayed_acceptance != "none":
            raise ValueError(
                "delayed_acceptance does not go with proposal: multiple_time_step, which has called the engine already"
            )
        if self.proposal == "segment" and self.delayed_acceptance == "surrogate":
            raise ValueError(
                "delayed_acceptance: surrogate does not go with proposal: segment, which the surrogate has judged already"
            )
        return self


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler."""
    barostat = barostat_of(settings.ensemble, target.system.structure)
    hot = ring.heated(EXPLORE_HEAT)
    rules = Rules(settings.refreshment, _proposals(settings, target, barostat), barostat)

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        if plan.move in WALKS and surrogate is not None:
            return walk_step(ring, target, state, surrogate, plan, rng, settings.segment or Segment())
        state = resume_chain(state)
        if plan.move is Move.EXPLORE and surrogate is not None:
            return explore_step(hot, target, state, surrogate, plan, rng, barostat)
        return ring_step(ring, target, state, surrogate, plan, rng, rules)

    return Sampler(partial(start_state, target), climbing(settings.ladder, settings, ring, target, step))


def _proposals(settings: Settings, target: Target, barostat: Barostat | None) -> Propose:
    if settings.proposal == "multiple_time_step":
        return kicked(settings.kick_every)
    fly = fly_segment(settings.segment or Segment()) if settings.proposal == "segment" else straight(barostat)
    if settings.delayed_acceptance == "surrogate":
        fly = surrogate_first
    if settings.delayed_acceptance == "cheap_engine":
        assert target.cheap is not None
        fly = cheap_engine_first(fly, target.cheap)
    return arriving(fly)
