"""Static structure factors S(q): X-ray (form factors of neutral atoms) and neutron (coherent scattering lengths)."""

from __future__ import annotations

import numpy as np

from protocol.errors import BadSetting
from renkei.analysis import scattering
from renkei.observables.base import Axis, Observable, Part, States, System, Values, middles

PROBES = ("xray", "neutron")


def build(system: System, largest_q_per_A: float = 10.0, bins: int = 50, per_bin: int = 20) -> Observable:
    """Total scattering over the sum of squared amplitudes; every bead is a structure, hydrogen of mass 2 is deuterium.

    In cells: at most `per_bin` reciprocal vectors for each of `bins` bins up to largest_q_per_A, none below the smallest
    vector of the cell. Clusters: Debye's formula at the middles of the bins. BadSetting for cells that are periodic in one
    or two directions, and for elements without an entry in the tables.
    """
    periodic = bool(np.all(system.pbc))
    if not periodic and np.any(system.pbc):
        raise BadSetting("structure_factor: for cells that are periodic in three directions, or free clusters")
    if largest_q_per_A <= 0 or bins < 1 or per_bin < 1:
        raise BadSetting("structure_factor: largest_q_per_A, bins and per_bin must be positive")
    edges = np.linspace(0.0, largest_q_per_A, bins + 1)
    q = middles(edges) if not periodic else np.linspace(0.0, 1.5 * largest_q_per_A, 600)  # room for a cell that shrinks
    lengths = scattering.scattering_lengths(system.numbers, system.masses_amu)
    amplitudes = np.stack([scattering.form_factors(system.numbers, q), np.repeat(lengths[:, None], len(q), axis=1)])
    indices = scattering.reciprocal_indices(system.first_cell, edges, per_bin) if periodic else np.zeros((0, 3))

    def add(states: States) -> Values:
        shape = (len(PROBES), *states.positions.shape[:2], bins)
        total, weight = np.zeros(shape), np.zeros(shape[1:])
        for s, w, beads, cell in states.rings():
            if not periodic:
                total[:, s, w] = scattering.debye_structure_factor(beads, amplitudes, q)
                weight[s, w] = 1.0
                continue
            length, found = scattering.lattice_structure_factor(beads, amplitudes, q, indices, cell)
            weight[s, w] = np.histogram(length, edges)[0]
            for probe in range(len(PROBES)):
                total[probe, s, w] = np.histogram(length, edges, weights=found[probe])[0]
        return Values(curves={f"structure_factor_{name}": Part(total[k], weight) for k, name in enumerate(PROBES)})

    return Observable(add, dict.fromkeys([f"structure_factor_{name}" for name in PROBES], Axis("q_per_A", middles(edges))))
