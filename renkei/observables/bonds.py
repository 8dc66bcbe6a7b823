"""Bond lengths and angles by kind: means, and distributions over beads; the bonds are those of the first state."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from protocol.errors import BadSetting
from renkei.analysis import structure
from renkei.analysis.path_integral import centroids
from renkei.observables.base import Axis, Observable, Part, States, System, Values, histogram, middles

LENGTHS_A, ANGLES_deg = (0.5, 3.5), (0.0, 180.0)


def build(system: System, bins: int = 180) -> Observable:
    """Lengths (A) between 0.5 and 3.5 A, angles (deg). BadSetting where the first state has no bonds."""
    known = structure.find_bonds(centroids(system.first), system.numbers, system.first_cell, system.pbc)
    if not len(known.first):
        raise BadSetting("bonds: no two atoms of the first state are within 1.3 times their covalent radii")
    edges = {"length": np.linspace(*LENGTHS_A, bins + 1), "angle": np.linspace(*ANGLES_deg, bins + 1)}

    def measure(beads: Array, cell: Array) -> dict[tuple[str, str], Array]:
        lengths = structure.bond_lengths(known, beads, cell, system.pbc)
        angles = structure.bond_angles(known, beads, system.numbers, cell, system.pbc)
        return {("length", k): v for k, v in lengths.items()} | {("angle", k): v for k, v in angles.items()}

    def add(states: States) -> Values:
        shape = states.positions.shape[:2]
        series = {f"bond_{what}_{name}_{UNITS[what]}": np.zeros(shape) for what, name in kinds}
        curves = {f"bond_{what}_distribution_{name}": np.zeros((*shape, bins)) for what, name in kinds}
        for s, w, beads, cell in states.rings():
            for (what, name), values in measure(beads, cell).items():
                series[f"bond_{what}_{name}_{UNITS[what]}"][s, w] = values.mean()
                curves[f"bond_{what}_distribution_{name}"][s, w] = histogram(values, edges[what])
        return Values(series, {name: Part(value, np.ones_like(value)) for name, value in curves.items()})

    kinds = list(measure(system.first, system.first_cell))
    axes = {f"bond_{what}_distribution_{name}": Axis(f"{what}_{UNITS[what]}", middles(edges[what])) for what, name in kinds}
    return Observable(add, axes)


UNITS = {"length": "A", "angle": "deg"}
