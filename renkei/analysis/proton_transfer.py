"""Where a proton sits between the atom that it is bonded to and the next one: delta = d(D-H) - d(H...A)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.images import minimum_images

CARRIERS = (7, 8, 9)  # N, O, F


class Protons(NamedTuple):
    """The protons of one reference structure; a proton keeps its donor for a whole run, so that delta changes sign."""

    hydrogen: Array  # (H,) indices
    donor: Array  # (H,) indices
    carriers: Array  # (C,) indices of all N, O and F


def find_protons(positions: Array, numbers: Array, cell: Array, pbc: Array) -> Protons:
    """Hydrogens and the nearest N, O or F of each; none where there are fewer than two such atoms.

    positions: (N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.
    """
    hydrogen, carriers = np.flatnonzero(numbers == 1), np.flatnonzero(np.isin(numbers, CARRIERS))
    if len(carriers) < 2:
        return Protons(np.zeros(0, int), np.zeros(0, int), carriers)
    nearest = np.argmin(_distances(positions, hydrogen, carriers, cell, pbc), axis=-1)
    return Protons(hydrogen, carriers[nearest], carriers)


def transfer_coordinates(protons: Protons, positions: Array, cell: Array, pbc: Array) -> Array:
    """delta of every proton, A: negative at its donor, 0 in the middle, positive where it has gone over.

    The acceptor is the nearest other N, O or F of the same bead.  positions: (..., N, 3) A.  Returns (..., H) A.
    """
    distances = _distances(positions, protons.hydrogen, protons.carriers, cell, pbc)
    own = protons.carriers == protons.donor[:, None]  # (H, C), one true in each row
    return np.asarray(distances[..., own] - np.where(own, np.inf, distances).min(axis=-1))


def _distances(positions: Array, hydrogen: Array, carriers: Array, cell: Array, pbc: Array) -> Array:
    """Shortest distances (..., H, C) A."""
    vectors = positions[..., None, carriers, :] - positions[..., hydrogen, None, :]
    return np.asarray(np.linalg.norm(minimum_images(vectors, cell, pbc), axis=-1))
