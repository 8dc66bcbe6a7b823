"""Mean-square displacement of centroids by element over Monte Carlo steps, which are no time: mixing, not diffusion."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from protocol.errors import BadSetting
from renkei.analysis.displacement import squared_displacements
from renkei.analysis.path_integral import centroids
from renkei.observables.base import Axis, Observable, Part, States, System, Values


def build(system: System, largest_lag: int = 100) -> Observable:
    """Every state is an origin; lags are in chosen states (steps, where none is left out), A^2. BadSetting without a lag."""
    if largest_lag < 1:
        raise BadSetting(f"mean_square_displacement: largest_lag must be at least 1, got {largest_lag}")
    names = {f"mean_square_displacement_{chemical_symbols[z]}": system.numbers == z for z in np.unique(system.numbers)}
    kept: list[tuple[Array, Array]] = []  # centroids (W, N, 3) and cells (W, 3, 3) of the last states

    def add(states: States) -> Values:
        shape = (*states.positions.shape[:2], largest_lag)
        total, weight = {name: np.zeros(shape) for name in names}, np.zeros(shape)
        for s, (now, cell) in enumerate(zip(centroids(states.positions), states.cells, strict=True)):
            for lag, (before, cell_before) in enumerate(reversed(kept)):
                squared = squared_displacements(now, before, cell, cell_before, system.pbc)
                weight[s, :, lag] = 1.0
                for name, mask in names.items():
                    total[name][s, :, lag] = squared[:, mask].mean(axis=-1)
            kept.append((now, cell))
            del kept[:-largest_lag]
        return Values(curves={name: Part(value, weight) for name, value in total.items()})

    return Observable(add, dict.fromkeys(names, Axis("states", np.arange(1, largest_lag + 1))), weighable=False)
