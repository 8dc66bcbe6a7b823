"""Local moves of ring polymers: each a pure function of a ring and a generator, with the ratio of its proposal probabilities.

All of them leave the springs' energy as it is, or draw from it exactly (the bridge), so that in every case
ln of the acceptance ratio = -beta (change of the bead average of the potential) + log_factor (docs/methods.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.ring_polymer import RingPolymer
from kernels.units import HBAR_EV_FS
from sim_daemon.moves.sites import Sites


class Proposal(NamedTuple):
    """Where a move wants to go."""

    positions: Array  # (P, N, 3) A
    log_factor: float = 0.0  # ln of the probability to propose the way back over that of the way there, springs included


# (positions (P, N, 3) A, width in the move's own unit, generator) -> proposal; None where there is nothing to propose
Propose = Callable[[Array, float, np.random.Generator], Proposal | None]


class LocalMove(NamedTuple):
    """One kind of move of a random scan."""

    name: str
    weight: float  # how often it is chosen, relative to the others
    propose: Propose


class Group(NamedTuple):
    """Atoms that move as one."""

    members: Array  # (n,) int
    offsets: Array  # (n, 3) A, whole lattice vectors that join what the cell's faces cut


def translate(positions: Array, width: float, generator: np.random.Generator) -> Proposal:
    """One atom's whole ring by a vector of the cube [-width, width]^3.  positions: (P, N, 3) A.  width: A."""
    moved = positions.copy()
    moved[:, generator.integers(positions.shape[1])] += _in_cube(width, generator)
    return Proposal(moved)


def translate_together(groups: Sequence[Group], positions: Array, width: float, generator: np.random.Generator) -> Proposal:
    """All atoms of one group by one vector of the cube [-width, width]^3.  positions: (P, N, 3) A.  width: A."""
    moved = positions.copy()
    moved[:, groups[int(generator.integers(len(groups)))].members] += _in_cube(width, generator)
    return Proposal(moved)


def rotate(groups: Sequence[Group], positions: Array, width: float, generator: np.random.Generator) -> Proposal:
    """One group, all beads by one rotation about the mean of its beads, which the rotation leaves in place.

    The axis is uniform on the sphere and the angle uniform in [-width, width] degrees, so the way back is as likely.
    positions: (P, N, 3) A.
    """
    group = groups[int(generator.integers(len(groups)))]
    axis = generator.standard_normal(3)
    matrix = _rotation(axis / np.linalg.norm(axis), math.radians(width) * (2 * generator.random() - 1))
    whole = positions[:, group.members] + group.offsets
    centre = whole.mean(axis=(0, 1))
    moved = positions.copy()
    moved[:, group.members] = centre + (whole - centre) @ matrix.T - group.offsets
    return Proposal(moved)


def swap(pairs: Array, positions: Array, width: float, generator: np.random.Generator) -> Proposal:
    """Two unlike atoms change places: their centroids are exchanged, each keeps its ring's shape.

    The number of unlike pairs never changes, so the choice is as likely on the way back.
    pairs: (n, 2) all pairs of unlike atoms.  positions: (P, N, 3) A.  width: of no influence.
    """
    first, second = pairs[generator.integers(len(pairs))]
    way = positions[:, second].mean(axis=0) - positions[:, first].mean(axis=0)
    moved = positions.copy()
    moved[:, first] += way
    moved[:, second] -= way
    return Proposal(moved)


def hop(sites: Sites, positions: Array, width: float, generator: np.random.Generator) -> Proposal | None:
    """An atom of a site beside a vacancy jumps into it and keeps its displacement from the site.

    The vacancy v is uniform among n_v vacant sites, the atom among the n(v) on neighbours of v. The way back chooses the site a
    that was left, so the factor is n_v n(v) / (n_v' n'(a)), counted before and after.  positions: (P, N, 3) A.
    """
    before = sites.occupants(positions.mean(axis=0))
    vacant = sites.vacant(before)
    if not len(vacant):
        return None
    goal = int(vacant[generator.integers(len(vacant))])
    ready = sites.beside(goal, before)
    if not len(ready):
        return None
    left, atom = ready[generator.integers(len(ready))]
    moved = positions.copy()
    moved[:, atom] += sites.positions[goal] - sites.positions[left]
    after = before.copy()
    after[atom] = sites.occupants(moved[:, atom].mean(axis=0)[None])[0]
    if (after == left).any():
        return None  # a second atom sits there still: the way back does not exist
    back = len(sites.vacant(after)) * len(sites.beside(left, after))
    return Proposal(moved, math.log(len(vacant) * len(ready) / back)) if back else None


def bridge(ring: RingPolymer, positions: Array, width: float, generator: np.random.Generator) -> Proposal:
    """Consecutive beads of one atom drawn anew from the free particle's bridge between those that stay.

    The springs are sampled exactly, so only the potential is left to decide (staging: Sprik, Klein and Chandler 1985).
    positions: (P, N, 3) A.  width: number of beads, rounded, at most P - 1.
    """
    beads, atoms = positions.shape[:2]
    count = min(max(round(width), 1), beads - 1)
    atom, first = generator.integers(atoms), generator.integers(beads)
    noise = generator.standard_normal((count, 3)) * math.sqrt(link_variance(ring, int(atom)))
    moved = positions.copy()
    here, end = moved[first, atom].copy(), moved[(first + count + 1) % beads, atom].copy()
    for k in range(count):
        left = count + 1 - k  # links from the last bead drawn to the end
        here += (end - here) / left + noise[k] * math.sqrt((left - 1) / left)
        moved[(first + k + 1) % beads, atom] = here
    return Proposal(moved)


def link_variance(ring: RingPolymer, atom: int) -> float:
    """Variance (A^2, one component) of a free link of the ring: 1/(beta m omega_P^2), omega_P^2 = P/(beta hbar)^2."""
    return float(ring.beta * HBAR_EV_FS**2 / (ring.masses[atom] * ring.beads))


def _in_cube(width: float, generator: np.random.Generator) -> Array:
    vector: Array = width * (2 * generator.random(3) - 1)
    return vector


def _rotation(axis: Array, angle: float) -> Array:
    """Rodrigues' formula; axis (3,) of length 1, angle in radians. Returns (3, 3)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    matrix: Array = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    return matrix
