"""Proton transfer: delta = d(donor-H) - d(H...acceptor), its distribution and the share of protons that have gone over."""

from __future__ import annotations

import numpy as np

from protocol.errors import BadSetting
from renkei.analysis.path_integral import centroids
from renkei.analysis.proton_transfer import find_protons, transfer_coordinates
from renkei.observables.base import Axis, Observable, Part, States, System, Values, histogram, middles

WIDEST_A = 4.0


def build(system: System, bins: int = 160) -> Observable:
    """Over protons and beads; `largest` is the delta of the most shared proton, the mean over beads, A.

    Donors are the nearest N, O or F in the first state and stay it, so delta is positive after a transfer. BadSetting where
    there is no hydrogen or fewer than two such atoms.
    """
    protons = find_protons(centroids(system.first), system.numbers, system.first_cell, system.pbc)
    if not len(protons.hydrogen):
        raise BadSetting("proton_transfer: needs hydrogen and at least two atoms of N, O or F")
    edges = np.linspace(-WIDEST_A, WIDEST_A, bins + 1)

    def add(states: States) -> Values:
        shape = states.positions.shape[:2]
        share, largest, found = np.zeros(shape), np.zeros(shape), np.zeros((*shape, bins))
        for s, w, beads, cell in states.rings():
            delta = transfer_coordinates(protons, beads, cell, system.pbc)
            share[s, w], largest[s, w] = (delta > 0).mean(), delta.max(axis=-1).mean()
            found[s, w] = histogram(delta, edges)
        series = {"proton_transfer_share": share, "proton_transfer_largest_A": largest}
        return Values(series, {"proton_transfer_distribution": Part(found, np.ones_like(found))})

    return Observable(add, {"proton_transfer_distribution": Axis("delta_A", middles(edges))})
