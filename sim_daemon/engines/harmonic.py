"""Each atom in a harmonic well of its own, playing first principles: V = sum k/2 |x - centre|^2."""

from __future__ import annotations

from pydantic import Field

from kernels.potentials import harmonic
from sim_daemon.engines.base import Engine, EngineContext
from sim_daemon.engines.potential_bridge import PotentialEngine, WellSettings, own_keys


class Settings(WellSettings):
    """Engine `harmonic`."""

    name: str = "harmonic"
    k_eV_per_A2: float = Field(gt=0)  # stiffness


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine."""
    return PotentialEngine(settings, context, harmonic.build(own_keys(settings)).evaluate)
