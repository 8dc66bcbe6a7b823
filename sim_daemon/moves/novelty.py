"""What has been labelled already: histograms of the descriptor, by species and feature, and how new a structure is to them.

The score of an atom is the share of its features that fall into empty bins or outside of the range seen, that of a structure the
largest of its atoms. A structure is novel if its score is above nine tenths of those of the structures that were labelled anyway,
because a decision needed them: the threshold comes from the data, and falls as there is less to find (docs/methods.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels import native
from kernels.arrays import Array
from kernels.descriptors import native as compiled
from kernels.descriptors import numba_cpu
from kernels.descriptors.base import Chebyshev
from protocol.records import Structure

BINS = 64  # over the range seen: it is covered by 32 to 64 of them
SCORES = 64  # of labelled structures that the threshold looks back on
FEWEST_SCORES = 8  # before so many, whatever has an empty bin is novel
QUANTILE = 0.9
FINEST = 1e-3  # narrowest bin of a feature, which is a sum of numbers between -1 and 1
RADIAL_ORDER, ANGULAR_ORDER = 8, 4  # enough to tell environments apart; the surrogate's own may have more
ANGULAR_SHARE = 0.65  # of the radial cut-off
DEFAULT_CUTOFF_A = 6.0  # of a surrogate that does not know its own


class Seen(NamedTuple):
    """Histograms of S species and F features; plain arrays, so that a checkpoint holds them."""

    low: Array  # (S, F) lower end of the first bin
    width: Array  # (S, F) of a bin; 0 where no atom was seen
    occupied: Array  # (S, F, BINS) bool
    scores: Array  # (n,) of the newest labelled structures, at most SCORES


def descriptor_for(numbers: Array, cutoff_A: float) -> Chebyshev:
    """The descriptor that novelty is judged by.  numbers: (N,) of the system.  cutoff_A: the surrogate's."""
    reach = cutoff_A or DEFAULT_CUTOFF_A
    species = tuple(int(z) for z in np.unique(numbers))
    return Chebyshev(species, "species_resolved", RADIAL_ORDER, reach, ANGULAR_ORDER, ANGULAR_SHARE * reach, (1,))


def nothing_seen(descriptor: Chebyshev) -> Seen:
    """Empty histograms."""
    shape = len(descriptor.species), descriptor.length
    return Seen(np.zeros(shape), np.zeros(shape), np.zeros((*shape, BINS), bool), np.zeros(0))


def features(descriptor: Chebyshev, positions: Array, base: Structure, cell: Array) -> Array:
    """Features (B, N, F) of structures (B, N, 3) A of one system in a cell (3, 3) A."""
    values = compiled.values if native.library() is not None else numba_cpu.values
    found: Array = values(descriptor, positions, base.numbers, cell, base.pbc)
    return found


def score(seen: Seen, kinds: Array, structure: Array) -> float:
    """Largest share of unseen features of an atom, 0 to 1.  kinds: (N,) place of each atom's species.  structure: (N, F)."""
    width = np.where(seen.width > 0, seen.width, 1.0)[kinds]
    with np.errstate(invalid="ignore"):
        bins = np.floor((structure - seen.low[kinds]) / width)
        inside = (bins >= 0) & (bins < BINS) & (seen.width[kinds] > 0)  # false for NaN
    at = np.where(inside, bins, 0).astype(int)
    known = inside & np.take_along_axis(seen.occupied[kinds], at[..., None], axis=2)[..., 0]
    return float(np.max(np.mean(~known, axis=1)))


def threshold(seen: Seen) -> float:
    """Score above which a structure is novel."""
    return float(np.quantile(seen.scores, QUANTILE)) if len(seen.scores) >= FEWEST_SCORES else 0.0


def add(seen: Seen, kinds: Array, structures: Array) -> Seen:
    """The histograms with more structures (B, N, F) in them; those that are not finite are left out.  kinds: (N,)."""
    low, width, occupied = seen.low.copy(), seen.width.copy(), seen.occupied.copy()
    for kind in np.unique(kinds):
        atoms = structures[:, kinds == kind].reshape(-1, structures.shape[2])
        atoms = atoms[np.isfinite(atoms).all(axis=1)]
        if len(atoms):
            _insert(low[kind], width[kind], occupied[kind], atoms)
    return Seen(low, width, occupied, seen.scores)


def remember(seen: Seen, scores: list[float]) -> Seen:
    """The same with the scores of structures that a decision had labelled."""
    return seen._replace(scores=np.concatenate([seen.scores, scores])[-SCORES:])


def _insert(low: Array, width: Array, occupied: Array, atoms: Array) -> None:
    """Into the histograms (F,), (F,), (F, BINS) of one species, in place; bins are joined in pairs where they do not reach."""
    smallest, largest = atoms.min(axis=0), atoms.max(axis=0)
    new = width == 0
    first = np.maximum((largest - smallest) / (BINS // 2), FINEST)
    low[new] = (0.5 * (smallest + largest - first * BINS))[new]
    width[new] = first[new]
    while (below := smallest < low).any() or (largest >= low + BINS * width).any():
        above = largest >= low + BINS * width
        for f in np.flatnonzero(below | above):
            joined = occupied[f].reshape(-1, 2).any(axis=1)
            occupied[f] = False
            half = slice(BINS // 2, None) if below[f] else slice(None, BINS // 2)
            occupied[f, half] = joined
            low[f] -= BINS * width[f] if below[f] else 0.0
            width[f] *= 2
    bins = np.clip(np.floor((atoms - low) / width), 0, BINS - 1).astype(int)
    occupied[np.arange(len(low))[None], bins] = True
