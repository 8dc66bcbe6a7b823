"""pihmc: path-integral hybrid Monte Carlo, first principles in the trajectory and in the accept step; beads: 1 is HMC."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import model_validator

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.ensembles import Npt
from sim_daemon.moves.cell import barostat_of
from sim_daemon.moves.exchange import Ladder, check_ladder, climbing
from sim_daemon.moves.ring_move import Rules, ring_step
from sim_daemon.moves.thermostat import Refreshment
from sim_daemon.samplers.base import Info, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """pihmc: the control that every self-learning run is compared with."""

    learns: ClassVar[bool] = False

    name: Literal["pihmc"] = "pihmc"
    refreshment: Refreshment | None = None  # None: fresh momenta for every trajectory
    ladder: Ladder | None = None  # of temperatures; None: all walkers at that of the ensemble

    @model_validator(mode="after")
    def _keys_that_fit(self) -> Settings:
        if isinstance(self.ensemble, Npt) and self.refreshment is not None:
            raise ValueError("constant pressure needs fresh momenta: leave refreshment out")
        check_ladder(self.ladder, self, plain=self.refreshment is None)
        return self


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler; a surrogate that is offered is not used."""
    barostat = barostat_of(settings.ensemble, target.system.structure)
    rules = Rules(settings.refreshment, barostat=barostat)

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        return ring_step(ring, target, state, None, plan, rng, rules)

    return Sampler(partial(start_state, target), climbing(settings.ladder, settings, ring, target, step))
