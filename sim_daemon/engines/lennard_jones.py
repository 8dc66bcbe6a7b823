"""Lennard-Jones 12-6 between all pairs, playing first principles; one kind of atom, whatever the structure says."""

from __future__ import annotations

from pydantic import Field

from kernels.potentials import lennard_jones
from sim_daemon.engines.base import Engine, EngineContext, EngineSettings
from sim_daemon.engines.potential_bridge import PotentialEngine


class Settings(EngineSettings):
    """Engine `lennard_jones`."""

    name: str = "lennard_jones"
    epsilon_eV: float = Field(gt=0)  # depth
    sigma_A: float = Field(gt=0)  # where the energy of a pair is zero
    cutoff_A: float | None = Field(None, gt=0)  # the energy of a pair is shifted to zero there; null: 4 sigma_A


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine."""
    keys = {"epsilon_eV": settings.epsilon_eV, "sigma_A": settings.sigma_A, "cutoff_A": settings.cutoff_A or 4 * settings.sigma_A}
    return PotentialEngine(settings, context, lennard_jones.build(keys).evaluate)
