"""Contract of an observable.

To add one: a file here that defines `build(system, **options) -> Observable`, and tests/renkei/observables/test_NAME.py. The
first line of its docstring is what `renkei analyze --list` says of it. States come a segment at a time and are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.statistics import Estimate
from protocol.errors import BadSetting


@dataclass(frozen=True)
class System:
    """What all states of one simulator have in common."""

    numbers: Array  # (N,) atomic numbers
    masses_amu: Array  # (N,) isotopes applied
    pbc: Array  # (3,) bool
    temperature_K: float
    ensemble: str  # name of the ensemble, e.g. "nvt"
    first: Array  # (P, N, 3) A, the first state of all
    first_cell: Array  # (3, 3) A


@dataclass(frozen=True)
class States:
    """S states of W walkers, with the ledger's numbers of the same steps."""

    step: Array  # (S,) int
    positions: Array  # (S, W, P, N, 3) A
    cells: Array  # (S, W, 3, 3) A
    rows: Mapping[str, Array]  # (S, W) each; observables of the ledger, unit in the name

    def row(self, name: str) -> Array:
        """One of the ledger's numbers, (S, W); BadSetting where these steps have none."""
        if name not in self.rows or not np.isfinite(self.rows[name]).all():
            raise BadSetting(f"the ledger has no {name} of every chosen step", next=f"it has {', '.join(sorted(self.rows))}")
        return self.rows[name]

    def rings(self) -> Iterator[tuple[int, int, Array, Array]]:
        """Every ring by itself: state, walker, beads (P, N, 3) A, cell (3, 3) A."""
        for s, w in np.ndindex(self.positions.shape[:2]):
            yield s, w, self.positions[s, w], self.cells[s, w]


class Axis(NamedTuple):
    """Where the values of a curve belong."""

    label: str  # unit in the name, e.g. "distance_A"
    points: Array  # (K,)


class Part(NamedTuple):
    """What states say of a curve: its value is sum(total) / sum(weight) over states and walkers."""

    total: Array  # (S, W, K)
    weight: Array  # (S, W, K)


class Values(NamedTuple):
    """What one call says of its states."""

    series: Mapping[str, Array] = {}  # (S, W) each, unit in the name
    curves: Mapping[str, Part] = {}


def no_more(series: Mapping[str, Array], log_weights: Array | None) -> Mapping[str, Estimate]:
    """The `finish` of an observable whose numbers are plain averages."""
    return {}


Series = Mapping[str, Array]


class Observable(NamedTuple):
    """add: states -> their values, in the order of the steps.  axes: of every curve that `add` may name.

    finish: all series (T, W) and ln of the states' weights (T, W), None where they weigh the same -> numbers that are no plain
    average; the series that it names are not shown by themselves.  weighable: whether states may have weights.
    finish_levels: the same of two levels, from the surrogate's series, the target's and the weights (NaN where not labelled);
    needed where there is a `finish`.
    """

    add: Callable[[States], Values]
    axes: Mapping[str, Axis] = {}
    finish: Callable[[Mapping[str, Array], Array | None], Mapping[str, Estimate]] = no_more
    weighable: bool = True
    finish_levels: Callable[[Series, Series, Array], Mapping[str, Estimate]] | None = None


def histogram(samples: Array, edges: Array) -> Array:
    """Share of the samples in each bin over its width.  samples: any shape.  edges: (K + 1,).  Returns (K,)."""
    return np.asarray(np.histogram(samples, edges)[0] / (max(samples.size, 1) * np.diff(edges)))


def middles(edges: Array) -> Array:
    """Middles of bins; edges (K + 1,) -> (K,)."""
    return np.asarray(0.5 * (edges[1:] + edges[:-1]))
