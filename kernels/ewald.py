"""Coulomb energy of fixed charges below a network: what no network of finite reach can learn.

    energy = sum over pairs of k q_i q_j erf(r / (sqrt(2) w)) / r,     k = e^2 / (4 pi epsilon_0)

Each charge is a Gaussian of variance w^2 / 2, so the energy is smooth where atoms meet. A structure that is periodic in three
directions is summed after Ewald, in a conducting surrounding; one that is not periodic over all its pairs. A cell with a net
charge has a uniform background of the opposite one. Equations: docs/methods.md.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf, pi, sqrt
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.ewald_loops import Splitting, splitting, summed
from kernels.neighbors.base import lattice
from kernels.potentials.base import Evaluation

DEAR = 80.0  # a pair costs so many times what an atom's share of a wave costs


class PointCharges(NamedTuple):
    """Charges of all species and the width w, which they share."""

    charges: Array  # (S,) e
    width_A: float


class Sums(NamedTuple):
    """Of B structures of N atoms; half of a pair's energy belongs to each of its atoms."""

    energy: Array  # (B,) eV
    atomic: Array  # (B, N) eV
    forces: Array  # (B, N, 3) eV/A
    virial: Array  # (B, 3, 3) eV, minus the derivative by strain


def check(charges: PointCharges, species: int) -> None:
    """Raises ValueError if they are not finite numbers for so many species, or the width is none."""
    if np.shape(charges.charges) != (species,) or not np.isfinite(charges.charges).all():
        raise ValueError(f"charges must be {species} finite numbers, one for each species")
    if not 0 < charges.width_A < np.inf:
        raise ValueError(f"the charges' width must be above 0 A, got {charges.width_A}")


def check_box(pbc: Array) -> None:
    """Raises ValueError where one or two directions are periodic.  pbc: (3,) bool."""
    periodic = int(np.sum(pbc))
    if periodic not in (0, 3):
        raise ValueError(f"charges need a structure that is periodic in three directions or in none, this one is in {periodic}")


def added(found: Evaluation, own: PointCharges | None, positions: Array, species: Array, cell: Array, pbc: Array) -> Evaluation:
    """An evaluation with the Coulomb energy, forces and stress of its structures; as it is where there are no charges.

    positions: (B, N, 3) A.  species: (N,) places in the charges' list.  Raises ValueError as `check_box`.
    """
    if own is None:
        return found
    sums = evaluate(own, positions, species, cell, pbc)
    stress = None if found.stress is None else found.stress - sums.virial / abs(np.linalg.det(cell))
    return Evaluation(found.energy + sums.energy, found.forces + sums.forces, stress, found.extras)


def evaluate(own: PointCharges, positions: Array, species: Array, cell: Array, pbc: Array) -> Sums:
    """Coulomb sums of a batch; positions that are not finite give NaN, and a structure's bits do not depend on its batch.

    positions: (B, N, 3) A.  species: (N,) places in the charges' list.  cell: (3, 3) A.  pbc: (3,) bool.
    Raises ValueError as `check_box`.
    """
    check_box(pbc)
    atoms = len(species) if np.any(pbc) else 0
    positions, box = np.array(positions, dtype=np.float64, order="C"), lattice(cell, pbc)
    charges, width_A = np.asarray(own.charges, dtype=np.float64)[species], float(own.width_A)
    return Sums(*summed(positions, charges, box, balanced(box.vectors.tobytes(), atoms, width_A)))


@lru_cache(maxsize=16)
def balanced(vectors: bytes, atoms: int, width_A: float) -> Splitting:
    """The splitting that takes the least time for so many atoms in a cell of these (3, 3) vectors; for 0 atoms: not periodic.

    It costs a / rate^3 for pairs and b rate^3 for waves, as both cut-offs are proportional to sqrt(-log(accuracy)); they are
    equal at the best rate, sqrt(pi) (DEAR atoms / volume^2)^(1/6). Waves alone, at the charges' own rate, take less if that is at
    most 2^(1/3) times the best.
    """
    cell, sharp = np.frombuffer(vectors).reshape(3, 3), 1 / (sqrt(2) * width_A)
    if atoms == 0:
        nothing = np.zeros((0, 3), np.int64), np.zeros((0, 1, 2)), np.zeros((3, 3)), np.zeros((0, 4))
        return Splitting(sharp, 0.0, inf, *nothing, 0.0)
    rate = sqrt(pi) * (DEAR * atoms / np.linalg.det(cell) ** 2) ** (1 / 6)
    return splitting(cell, width_A, sharp if sharp**3 <= 2 * rate**3 else rate)
