"""pimd: path-integral molecular dynamics with first principles and a PILE-L thermostat; beads: 1 is Langevin dynamics.

The control that self-learning runs are compared with. No Metropolis test, so it is approximate: finite time step. A step of the
chain is `trajectory_fs` of dynamics, its end the next sample.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from kernels.potentials.base import Potential
from kernels.random_numbers import Rng
from kernels.ring_polymer import RingPolymer
from sim_daemon.ensembles import Nvt
from sim_daemon.moves.dynamics import dynamics_step
from sim_daemon.samplers.base import Info, Plan, RingSettings, Sampler, State, start_state
from sim_daemon.target import Target


class Settings(RingSettings):
    """pimd: the time step is not tuned (auto: 1/22 of the stiffest period), for it decides the error."""

    learns: ClassVar[bool] = False

    name: Literal["pimd"] = "pimd"
    ensemble: Nvt
    centroid_friction_per_fs: float = Field(0.01, gt=0, le=10)  # of the thermostat; internal modes have that of PILE-L


def build(settings: Settings, ring: RingPolymer, target: Target) -> Sampler:
    """The sampler; a surrogate that is offered is not used."""

    def step(state: State, surrogate: Potential | None, plan: Plan, rng: Rng) -> tuple[State, tuple[Info, ...]]:
        return dynamics_step(ring, target, state, plan, rng, settings.centroid_friction_per_fs)

    return Sampler(partial(start_state, target), step)
