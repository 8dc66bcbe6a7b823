"""sl_pihmc_mix: surrogate trajectory, a mixture of first principles and surrogate accepts; averages need the samples' weights.

For surrogates whose residual is too large for sl_pihmc: only alpha of it must pass the test, the rest goes to `log_weight`
(docs/methods.md: mixtures). beads: 1 is the classical method. Before first weights exist, first principles alone move and decide.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from pydantic import Field, field_validator, model_validator

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from kernels.units import KB_EV_PER_K
from sim_daemon.adapt import Adapter
from sim_daemon.adapt_mix import MixAdapter
from sim_daemon.ensembles import Npt
from sim_daemon.moves.cell import Barostat, barostat_of
from sim_daemon.moves.contraction import contracted_first, contracted_step
from sim_daemon.moves.delayed import surrogate_first
from sim_daemon.moves.explore import EXPLORE_HEAT, explore_step
from sim_daemon.moves.flight import straight
from sim_daemon.moves.ghmc import Segment, fly_segment
from sim_daemon.moves.mixing import mixed
from sim_daemon.moves.ring_move import Propose, Rules, ring_step
from sim_daemon.moves.thermostat import Refreshment
from sim_daemon.samplers.base import Info, Move, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """sl_pihmc_mix: exact for the first-principles ensemble of P beads after reweighting, whatever the surrogate."""

    name: Literal["sl_pihmc_mix"] = "sl_pihmc_mix"
    alpha: Literal["auto"] | float = "auto"  # share of first principles in the test; auto: planned in adapt, then frozen
    refreshment: Refreshment | None = None  # None: fresh momenta for every proposal
    proposal: Literal["trajectory", "segment"] = "trajectory"
    segment: Segment | None = None  # None: its defaults
    delayed_acceptance: Literal["none", "surrogate"] = "none"  # who judges a proposal before the engine is called
    contraction: int | None = Field(None, ge=1)  # contracted beads, odd, that judge a proposal first
    contraction_exact: bool = True  # false: nobody judges after them, which is an approximation at fewer engine calls

    @field_validator("alpha")
    @classmethod
    def _share(cls, given: Literal["auto"] | float) -> Literal["auto"] | float:
        if given != "auto" and not 0 <= given <= 1:
            raise ValueError("must be auto or between 0 and 1")
        return given

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Settings:
        if self.segment is not None and self.proposal != "segment":
            raise ValueError(f"segment is for proposal: segment, not {self.proposal}; leave one of them out")
        if self.proposal == "segment" and self.delayed_acceptance == "surrogate":
            raise ValueError(
                "delayed_acceptance: surrogate does not go with proposal: segment, which the surrogate has judged already"
            )
        if self.contraction is None:
            if not self.contraction_exact:
                raise ValueError("contraction_exact: false needs contraction, a number of beads")
        elif self.contraction % 2 == 0 or self.contraction > self.beads:
            raise ValueError(f"contraction must be odd and at most beads, {self.beads}; got {self.contraction}")
        plain = self.refreshment is None and self.proposal == "trajectory" and self.delayed_acceptance == "none"
        if isinstance(self.ensemble, Npt) and not (plain and self.contraction is None):
            raise ValueError(
                "constant pressure needs fresh momenta, proposal: trajectory, delayed_acceptance: none and no contraction"
            )
        return self


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler."""
    barostat = barostat_of(settings.ensemble, target.system.structure)
    hot = ring.heated(EXPLORE_HEAT)
    rules = Rules(settings.refreshment, _proposals(settings, barostat), barostat)

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        if plan.move is Move.EXPLORE and surrogate is not None:
            return explore_step(hot, target, state, surrogate, plan, rng, barostat)
        if settings.contraction is not None and not settings.contraction_exact:
            return contracted_step(ring, target, state, surrogate, plan, rng, rules, settings.contraction)
        return ring_step(ring, target, state, surrogate, plan, rng, rules)

    return Sampler(partial(start_state, target), step)


def adapter_of(settings: Settings) -> Callable[..., Adapter]:
    """The controller of the adapt phase, still without what all samplers of trajectories have in common."""
    fixed = None if settings.alpha == "auto" else float(settings.alpha)
    beta = 1 / (KB_EV_PER_K * settings.ensemble.temperature_K)
    return partial(MixAdapter, beta, fixed, settings.contraction is None or not settings.contraction_exact)


def _proposals(settings: Settings, barostat: Barostat | None) -> Propose:
    fly = fly_segment(settings.segment or Segment()) if settings.proposal == "segment" else straight(barostat)
    if settings.delayed_acceptance == "surrogate":
        fly = surrogate_first
    exact = settings.contraction is not None and settings.contraction_exact
    return mixed(fly, contracted_first(settings.contraction) if exact and settings.contraction else None)
