"""Distribution of distances by pair of elements: g(r) in crystals and liquids, probability density in clusters."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from protocol.errors import BadSetting
from renkei.analysis.structure import pair_histograms, pair_kinds
from renkei.observables.base import Axis, Observable, Part, States, System, Values, middles


def build(system: System, largest_A: float | None = None, bins: int = 200) -> Observable:
    """Every bead is a structure; all images are counted, each state in its own cell.

    largest_A: end of the axis; by default half the shortest cell vector's, at most 10 A, or 6 A in clusters.
    Raises BadSetting for an axis that is none.
    """
    periodic = bool(np.all(system.pbc))
    reach = largest_A or (min(10.0, 0.5 * float(np.linalg.norm(system.first_cell, axis=1).min())) if periodic else 6.0)
    if not 0 < reach < 1e3 or bins < 1:
        raise BadSetting(f"pair_distribution: largest_A and bins must be positive, got {reach:g} and {bins}")
    edges = np.linspace(0.0, reach, bins + 1)
    kinds = {name: n for name, n in pair_kinds(system.numbers, own=periodic).items() if n}
    axis = Axis("distance_A", middles(edges))

    def ideal(name: str, cell: Array, beads: int) -> Array:
        """Counts that give the value 1; per A of distance in clusters."""
        pairs = kinds[name] * beads
        if periodic:
            return np.asarray(pairs * 4 / 3 * np.pi * np.diff(edges**3) / abs(np.linalg.det(cell)))
        return np.asarray(pairs * np.diff(edges))

    def add(states: States) -> Values:
        shape = (*states.positions.shape[:2], bins)
        total = {name: np.zeros(shape) for name in kinds}
        for s, w, beads, cell in states.rings():
            counts = pair_histograms(beads, system.numbers, cell, system.pbc, edges)
            for name in kinds:
                total[name][s, w] = counts[name] / ideal(name, cell, len(beads))
        return Values(curves={f"pair_distribution_{name}": Part(value, np.ones(shape)) for name, value in total.items()})

    return Observable(add, {f"pair_distribution_{name}": axis for name in kinds})
