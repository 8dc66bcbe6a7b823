"""Counted floating-point operations of energies, forces and virial of one atom in the compiled kernels.

A multiply-add counts two, a division or a root one. Counted is what kernels/csrc does for every term; not what fills vectors up,
sums over their lanes, the list of neighbours, copies: so shares of a peak are rather too small. For neighbours, n of them within
the angular cut-off, n (n - 1) / 2 triplets, K powers, M terms (order + 1) in I rows of J (series.hpp), s terms of the cut-off
(6 in float32, 11 in float64):

    a series, summed          K (2 M + I) + 2 J + 2 I, for each point: the terms, the weighted rows, two recurrences
    its value and slope       K (4 M + 10 (I - 1)) + 4 J
    a pair                    18 + (10 + 6 s) + 4 + 16 + 24: geometry, cut-off, slope, force, virial; both radial series
    one within the angular    (10 + 6 s) + 6
    a triplet                 22: cosine, weight, eight sums; 1, or 2 q + 4 for each power q, less 2; both angular series
    mixing of channels        4 for each term of each channel that a species or a group of pairs is in, 1 for each of its terms
    the network               4 in out of each layer, there and back; 40 for each hidden node (exponential, division, slope)
"""

from __future__ import annotations

import itertools
from math import ceil
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.neighbors.numba_cpu import pairs

NODE = 40  # of network.hpp's tanh in float32; float64 has 12 more


class Around(NamedTuple):
    """Mean numbers around an atom."""

    pairs: float  # neighbours within the radial cut-off
    near: float  # within the angular one
    triplets: float


class Series(NamedTuple):
    """K series of some terms as tables of rows (series.hpp)."""

    terms: int
    powers: int

    @property
    def row(self) -> int:
        """J, the length of a row."""
        return self.terms if self.terms <= 12 else 8 if self.terms <= 32 else 16

    @property
    def rows(self) -> int:
        """I."""
        return ceil(self.terms / self.row)

    def operations(self) -> int:
        """Of sums, and of values and slopes, for each point."""
        rows, row, both = self.rows, self.row, self.powers * self.terms
        return 2 * both + self.powers * rows + 2 * row + 2 * rows + 4 * both + 10 * self.powers * (rows - 1) + 4 * row


def around(descriptor: Chebyshev, positions: Array, cell: Array, pbc: Array) -> Around:
    """Of one structure.  positions: (N, 3) A.  cell: (3, 3) A.  pbc: (3,) bool."""
    found = pairs(positions, cell, pbc, descriptor.radial_cutoff_A)
    near = np.bincount(found.first[found.distance < descriptor.angular_cutoff_A], minlength=len(positions))
    return Around(len(found.first) / len(positions), float(near.mean()), float((near * (near - 1) / 2).mean()))


def per_atom(descriptor: Chebyshev, hidden: tuple[int, ...], near: Around, single: bool) -> float:
    """The count of this file's head.  hidden: widths of the network's hidden layers."""
    cutoff = 10 + 6 * (6 if single else 11)
    radial = Series(descriptor.radial_order + 1, 1)
    angular = Series(descriptor.angular_order + 1, len(descriptor.powers))
    pair = 18 + cutoff + 4 + 16 + 24 + radial.operations()
    plain = descriptor.powers == (1,)
    raised = 1 if plain else sum(2 * power + 4 for power in descriptor.powers) - 2
    triplet = 22 + raised + angular.operations()
    return near.pairs * pair + near.near * (cutoff + 6) + near.triplets * triplet + _once(descriptor, hidden, radial, angular)


def _once(descriptor: Chebyshev, hidden: tuple[int, ...], radial: Series, angular: Series) -> float:
    """What an atom costs however many neighbours it has."""
    mixing = 0
    for mix, series in zip(descriptor.mixing, (radial, angular), strict=True):
        groups = np.unique(mix, axis=1) if series is angular else mix
        mixing += series.powers * series.terms * (4 * int((groups != 0).sum()) + groups.shape[1])
    layers = itertools.pairwise((descriptor.length, *hidden, 1))
    return mixing + 4 * sum(into * out for into, out in layers) + NODE * sum(hidden)
