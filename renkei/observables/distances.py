"""Mean distance between atoms by kind of pair, over nearest images and beads: whether what was together stays so."""

from __future__ import annotations

import numpy as np

from kernels.images import minimum_images
from protocol.errors import BadSetting
from renkei.analysis.structure import pair_name
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """Series distance_X-Y_A for every kind of pair that the system has; BadSetting for a single atom."""
    first, second = np.triu_indices(len(system.numbers), 1)
    if not len(first):
        raise BadSetting("distances: needs at least two atoms")
    kinds = [pair_name(int(system.numbers[i]), int(system.numbers[j])) for i, j in zip(first, second, strict=True)]
    names, kind = np.unique(kinds, return_inverse=True)
    pairs = np.bincount(kind)

    def add(states: States) -> Values:
        found = np.zeros((len(names), *states.positions.shape[:2]))
        for s, w, beads, cell in states.rings():
            lengths = np.linalg.norm(minimum_images(beads[:, second] - beads[:, first], cell, system.pbc), axis=-1)
            found[:, s, w] = np.bincount(kind, lengths.mean(axis=0)) / pairs
        return Values({f"distance_{name}_A": series for name, series in zip(names, found, strict=True)})

    return Observable(add)
