"""Each coordinate in a quartic well, playing first principles: V = sum a/2 x^2 + b x^4 about the centre."""

from __future__ import annotations

from pydantic import Field

from kernels.potentials import quartic
from sim_daemon.engines.base import Engine, EngineContext
from sim_daemon.engines.potential_bridge import PotentialEngine, WellSettings, own_keys


class Settings(WellSettings):
    """Engine `quartic`."""

    name: str = "quartic"
    a_eV_per_A2: float = 0.0  # may be negative: two wells
    b_eV_per_A4: float = Field(gt=0)


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine."""
    return PotentialEngine(settings, context, quartic.build(own_keys(settings)).evaluate)
