"""Taylor augmentation: displaced copies of the labelled structures, whose energies follow from the forces to first order.

E(r + d) = E(r) - F . d is too low by d.H d / 2 near a minimum, and pairs of +d and -d do not cure it: they say that there is no
curvature. So displacements stay small, weights low, and the copies go when real labels are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from pydantic import Field

from protocol.settings import Section
from train_daemon.dataset import Sample


class Augmentation(Section):
    """Keys of `learner.augmentation`."""

    displacement_A: float = Field(gt=0, le=0.03)  # standard deviation of each component
    weight: float = Field(default=0.1, gt=0, le=0.3)  # of a copy's energy against that of its structure
    until_structures: int = Field(default=200, ge=1)  # labels on the training side, from which on there are no copies


def displaced(samples: Sequence[Sample], settings: Augmentation) -> tuple[Sample, ...]:
    """A copy of each structure, displaced by normal numbers that depend on it alone; its forces, zeros, mean nothing."""
    return tuple(_copy(sample, settings) for sample in samples)


def _copy(sample: Sample, settings: Augmentation) -> Sample:
    key = sha256(b"displaced" + sample.key).digest()[:16]
    structure = sample.structure
    move = settings.displacement_A * np.random.default_rng(int.from_bytes(key, "big")).standard_normal(structure.positions.shape)
    return replace(
        sample,
        key=key,
        structure=replace(structure, positions=structure.positions + move),
        energy=float(sample.energy - np.sum(sample.forces * move)),
        forces=np.zeros_like(sample.forces),
        weight=settings.weight * sample.weight,
        virial=None,
    )
