"""Momenta between pieces of a trajectory: partial refreshment, and the PILE-L thermostat of the modes.

p <- c p + sqrt(1 - c^2) xi, xi from the momenta's own distribution: c = cos(phi) for one angle (Horowitz 1991), or
c_k = exp(-gamma_k t) mode by mode (Ceriotti, Parrinello, Markland and Manolopoulos 2010, with the sampling masses' frequencies).
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field, model_validator

from kernels.arrays import Array
from kernels.ring_polymer import RingPolymer
from protocol.settings import Section

INTERNAL_DAMPING = 0.5  # lambda of gamma_k = 2 lambda Omega_k for the internal modes


class Refreshment(Section):
    """How much of the momenta is drawn anew before a trajectory; without this section all of it is."""

    angle_rad: float | None = Field(None, gt=0, le=math.pi / 2)  # pi/2: all of it
    friction_per_fs: float | None = Field(None, gt=0)  # the angle by the trajectory's time: cos(phi) = exp(-friction time)

    @model_validator(mode="after")
    def _one_of_two(self) -> Refreshment:
        if (self.angle_rad is None) == (self.friction_per_fs is None):
            raise ValueError("needs either angle_rad or friction_per_fs")
        return self

    def kept(self, time_fs: float) -> float:
        """cos(phi), the share of the momenta that stays before a trajectory of `time_fs`."""
        return math.cos(self.angle_rad) if self.angle_rad is not None else math.exp(-(self.friction_per_fs or 0.0) * time_fs)


def pile(ring: RingPolymer, time_fs: float, centroid_friction_per_fs: float) -> Array:
    """Shares of the momenta that a PILE-L thermostat leaves after `time_fs`, (P, N, 1)."""
    friction = 2 * INTERNAL_DAMPING * ring.frequencies
    friction[0] = centroid_friction_per_fs
    return np.asarray(np.exp(-friction * time_fs)[..., None])


def refresh(ring: RingPolymer, momenta: Array, kept: float | Array, generator: np.random.Generator) -> Array:
    """Momenta (P, N, 3) eV fs/A of which a share `kept`, one number or (P, N, 1), stays; drawn as one array."""
    return kept * momenta + np.sqrt(1 - np.square(kept)) * ring.draw_momenta(generator)
