"""Each atom in a spherical Morse well of its own, playing first principles: V = sum D (1 - exp(-a (r - r0)))^2."""

from __future__ import annotations

from pydantic import Field

from kernels.potentials import morse
from sim_daemon.engines.base import Engine, EngineContext
from sim_daemon.engines.potential_bridge import PotentialEngine, WellSettings, own_keys


class Settings(WellSettings):
    """Engine `morse`."""

    name: str = "morse"
    depth_eV: float = Field(gt=0)  # D
    width_per_A: float = Field(gt=0)  # a
    distance_A: float = Field(0.0, ge=0)  # r0, from the centre


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine."""
    return PotentialEngine(settings, context, morse.build(own_keys(settings)).evaluate)
