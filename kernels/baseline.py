"""A smooth two-body energy below a network: walls that keep it from where it has learned nothing.

    energy = sum over pairs of (A_ab / r^12 - B_ab / r^6) s(r),   s = 1 + u^3 (-6 u^2 + 15 u - 10)

with u = (2 r - R) / R between R / 2 and R, so s falls from 1 to 0 with two continuous derivatives (docs/methods.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.jit import entry, kernel
from kernels.neighborhood import UX, Around, D
from kernels.neighbors.base import Pairs


class Baseline(NamedTuple):
    """Coefficients of all species pairs; both matrices are symmetric and not negative."""

    repulsion: Array  # (S, S) eV A^12
    attraction: Array  # (S, S) eV A^6
    cutoff_A: float


def scaled(baseline: Baseline, factor: float) -> Baseline:
    """The baseline in another unit of energy."""
    repulsion, attraction = (factor * np.array(matrix, np.float64) for matrix in baseline[:2])
    return Baseline(repulsion, attraction, float(baseline.cutoff_A))


@entry
def curve(distance: float, repulsion: float, attraction: float, cutoff: float) -> tuple[float, float]:
    """Energy of one pair and its slope by the distance."""
    half = 0.5 * cutoff
    u = min(max((distance - half) / half, 0.0), 1.0)
    switch, fall = 1 + u**3 * (u * (15 - 6 * u) - 10), -30 * (u * (u - 1)) ** 2 / half
    sixth = distance**-6
    bare, slope = (repulsion * sixth - attraction) * sixth, (6 * attraction - 12 * repulsion * sixth) * sixth / distance
    return bare * switch, slope * switch + bare * fall


@kernel
def push_pairs(baseline: Baseline, around: Around, s: int, i: int, forces: Array, virial: Array) -> float:
    """Atom i's half of the pairs with its neighbours: the energy; forces (N, 3) and virial (3, 3) are added.  s: its species."""
    energy = 0.0
    for kind in range(around.begin.size - 1):
        repulsion, attraction = baseline.repulsion[s, kind], baseline.attraction[s, kind]
        for q in range(around.begin[kind], around.begin[kind + 1]):
            value, slope = curve(around.pair[D, q], repulsion, attraction, baseline.cutoff_A)
            energy += 0.5 * value
            for axis in range(3):
                push = 0.5 * slope * around.pair[UX + axis, q]
                forces[around.atom[q], axis] -= push
                forces[i, axis] += push
                for other in range(3):
                    virial[other, axis] -= around.vector[q, other] * push
    return energy


def pair_number(a: Array, b: Array, species: int) -> Array:
    """Number of the species pair a, b in the order (0, 0), (0, 1), ..., (1, 1), ...; of either order of the two."""
    low, high = np.minimum(a, b), np.maximum(a, b)
    return low * species - low * (low - 1) // 2 + high - low


def columns(pairs: Pairs, kinds: Array, species: int, cutoff_A: float) -> tuple[Array, Array, Array]:
    """Energy (C,) eV, forces (N, 3, C) eV/A and virial (3, 3, C) eV of one structure for each coefficient alone.

    The coefficients are all A_ab, then all B_ab.

    pairs: within the cut-off, from both ends.  kinds: (N,) places among so many species.  The pairs are in `pair_number`'s order.
    """
    half, count = 0.5 * cutoff_A, species * (species + 1) // 2
    u = np.clip((pairs.distance - half) / half, 0.0, 1.0)
    switch, fall = 1 + u**3 * (u * (15 - 6 * u) - 10), -30 * (u * (u - 1)) ** 2 / half
    number = pair_number(kinds[pairs.first], kinds[pairs.second], species)
    energies, forces, virial = np.empty(2 * count), np.empty((len(kinds), 3, 2 * count)), np.empty((3, 3, 2 * count))
    for first, power, sign in ((0, 12, 1.0), (count, 6, -1.0)):
        bare = sign * pairs.distance**-power
        slope = (-power * bare / pairs.distance) * switch + bare * fall
        push = (slope / pairs.distance)[:, None] * pairs.vector  # on the first atom, of the pair seen from both ends
        energies[first : first + count] = 0.5 * np.bincount(number, bare * switch, count)
        place = pairs.first * count + number
        for axis in range(3):
            forces[:, axis, first : first + count] = np.bincount(place, push[:, axis], len(kinds) * count).reshape(-1, count)
            for other in range(3):
                arm = -0.5 * pairs.vector[:, other] * push[:, axis]  # each pair is seen from both ends
                virial[other, axis, first : first + count] = np.bincount(number, arm, count)
    return energies, forces, virial


def of_coefficients(coefficients: Array, species: int, cutoff_A: float) -> Baseline:
    """The baseline with the coefficients (C,) of `columns`."""
    every = np.arange(species)
    number = pair_number(every[:, None], every[None], species)
    repulsion, attraction = np.split(np.asarray(coefficients, dtype=np.float64), 2)
    return Baseline(repulsion[number], attraction[number], float(cutoff_A))


def coefficients(baseline: Baseline) -> Array:
    """The inverse of `of_coefficients`: (C,)."""
    upper = np.triu_indices(len(baseline.repulsion))
    return np.concatenate([baseline.repulsion[upper], baseline.attraction[upper]])
