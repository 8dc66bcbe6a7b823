"""A ladder of temperatures in the ledger: exchanges by pair of neighbours, and how often rings went up and down it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from renkei.analysis.ledger import Ledger, by_rung, by_walker


class Pair(NamedTuple):
    """Exchanges of two neighbouring rungs."""

    lower_K: float
    upper_K: float
    tried: int
    accepted: int

    @property
    def acceptance(self) -> float:
        """Share of exchanges that were made; NaN where none was tried."""
        return self.accepted / self.tried if self.tried else np.nan


def pairs(ledger: Ledger) -> list[Pair]:
    """Exchanges between neighbouring temperatures of the rows, the lowest first; empty without a ladder."""
    rungs = list(by_rung(ledger).items())
    tried = [(rows.swap >= 0, rows.swap > 0) for _, rows in rungs]
    found = zip(rungs, rungs[1:], tried, strict=False)
    return [Pair(a[0], b[0], int(asked.sum()), int(made.sum())) for a, b, (asked, made) in found]


def round_trips(ledger: Ledger) -> int:
    """How often a ring went from the lowest rung to the highest and back, of all rings."""
    top = len(by_rung(ledger)) - 1
    return sum(_trips(rungs, top) for rungs in rungs_of_replicas(ledger).T)


def rungs_of_replicas(ledger: Ledger) -> Array:
    """Rung (0: the lowest) of every ring after each step, (T, W); empty without a ladder."""
    rungs = by_walker(ledger, np.searchsorted(np.unique(ledger.temperature_K), ledger.temperature_K))
    replicas = by_walker(ledger, ledger.replica).astype(int)
    if not rungs.size or (replicas < 0).any():
        return np.zeros((0, 0), dtype=int)
    places = np.argsort(replicas, axis=1)
    return np.asarray(np.take_along_axis(rungs, places, axis=1), dtype=int)


def _trips(rungs: Array, top: int) -> int:
    """Times that one ring came back to the lowest rung from the highest after it had left the lowest; rungs: (T,)."""
    ends = rungs[(rungs == 0) | (rungs == top)]
    turns = ends[np.diff(ends, prepend=-1) != 0]
    turns = turns[1:] if len(turns) and turns[0] == top else turns
    return max(len(turns) - 1, 0) // 2
