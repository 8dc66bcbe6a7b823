"""Which structures a fit trains on, which it watches, and with what weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kernels.arrays import Array
from train_daemon.augmentation import Augmentation, displaced
from train_daemon.committee import bootstrap
from train_daemon.dataset import Sample, TrainingSet, validation_side
from train_daemon.library import Library


@dataclass(frozen=True)
class Sides:
    """Places in a library of n structures."""

    samples: tuple[Sample, ...]  # (m,) labelled, to train on
    members: Array  # (m,) their places, and after them (m,) or (0,) those of their displaced copies
    validation: Array  # (k,)
    weights: Array  # (n,) 0 for what is neither
    forced: Array  # (n,) 1; 0 for displaced copies

    def resampled(self, seed: int, member: int) -> Sides:
        """What one network of a committee trains on: structures drawn again, each copy as often as its structure."""
        drawn = np.resize(bootstrap(self.samples, seed, member), len(self.members))
        weights = self.weights.copy()
        weights[self.members] *= drawn
        return replace(self, members=self.members[drawn > 0], weights=weights)


def divided(library: Library, data: TrainingSet, watched: bool, augmentation: Augmentation | None) -> Sides:
    """The sides of one fit; adds displaced copies to the library.  watched: with a validation side."""
    aside = validation_side(data.samples) if watched else np.zeros(len(data.samples), dtype=bool)
    samples = tuple(sample for sample, out in zip(data.samples, aside, strict=True) if not out)
    validation = tuple(sample for sample, out in zip(data.samples, aside, strict=True) if out)
    few = augmentation is not None and len(data.samples) < augmentation.until_structures
    copies = displaced(samples, augmentation) if augmentation is not None and few else ()
    places = [library.add(side) for side in (samples, copies, validation)]
    weights, forced = np.zeros(len(library.energies)), np.ones(len(library.energies))
    for side, place in zip((samples, copies, validation), places, strict=True):
        weights[place] = [sample.weight for sample in side]
    forced[places[1]] = 0.0
    return Sides(samples, np.concatenate(places[:2]), places[2], weights, forced)
