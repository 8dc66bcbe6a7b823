"""Cells that vary at constant pressure: the measure, strains, and what a strain does to a ring (docs/methods.md).

Sampled density: |h|^(N+1) exp(-beta (U + p|h|)) over scaled centroids and the invariant measure d9h/|h|^3 of cells h, with the
rotation removed (lower triangular h, rows are vectors). A strain F and its inverse are equally likely, so N + 1 is the whole
exponent of |h'|/|h|, whichever numbers of the cell vary. Centroids follow the cell, the beads' distances from them do not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.units import GPA_PER_EV_A3
from protocol.records import Structure
from sim_daemon.ensembles import FLATTEST, Npt, shape

SMALLEST_A3, LARGEST_A3 = 0.5, 1e5  # volume per atom that is sampled: denser and thinner than any matter that is asked for


@dataclass(frozen=True)
class Barostat:
    """Constants of constant pressure for one system. Build with `barostat_of`."""

    pressure: float  # eV/A^3
    atoms: int
    cell: str  # isotropic | orthorhombic | full
    extended: bool  # ln V is a coordinate of the trajectory
    largest_ratio: float
    largest_cosine: float
    reference: Array  # (3, 3) A: the start cell
    mass: float  # of ln V when it is a coordinate, eV fs^2

    def cost(self, beta: float, before: Array, after: Array) -> float:
        """p dV - (N+1)/beta ln(V'/V), eV: what a change of the cell (3, 3) A adds to the change of energy."""
        old, new = volume(before), volume(after)
        return self.pressure * (new - old) - (self.atoms + 1) / beta * math.log(new / old)

    def allows(self, cell: Array) -> bool:
        """Whether a cell (3, 3) A lies in the sampled domain; a property of the cell that relabelled axes keep."""
        per_atom = volume(cell) / self.atoms
        if not SMALLEST_A3 < per_atom < LARGEST_A3:
            return False
        if self.cell == "isotropic":
            return True
        ratio, cosine, flatness = shape(cell)
        if self.cell == "orthorhombic":
            return ratio <= self.largest_ratio
        return ratio <= self.largest_ratio and cosine <= self.largest_cosine and flatness >= FLATTEST

    def draw(self, generator: np.random.Generator, step: float) -> Array:
        """A symmetric logarithmic strain (3, 3) whose trace, ln(V'/V), has the standard deviation `step`.

        isotropic: one number; orthorhombic: three; full: six, a Gaussian that no rotation of the axes changes.
        """
        if self.cell == "isotropic":
            return np.eye(3) * (step / 3 * generator.standard_normal())
        along = np.diag(step / math.sqrt(3) * generator.standard_normal(3))
        if self.cell == "orthorhombic":
            return along
        aside = np.zeros((3, 3))
        aside[[0, 0, 1], [1, 2, 2]] = step / math.sqrt(6) * generator.standard_normal(3)
        return along + aside + aside.T

    def draw_momentum(self, generator: np.random.Generator, beta: float) -> float:
        """Momentum of ln V, eV fs."""
        return math.sqrt(self.mass / beta) * generator.standard_normal()


class Change(NamedTuple):
    """A strained cell and what goes with it."""

    cell: Array  # (3, 3) A
    centroids: Array  # (3, 3): a centroid r becomes r @ centroids
    rest: Array  # (3, 3) rotation: distances from the centroid, and momenta

    def moved(self, modes: Array) -> Array:
        """Modes (P, N, 3) A in the new cell; mode 0 is the centroid."""
        new = modes @ self.rest
        new[0] = modes[0] @ self.centroids
        return new


def barostat_of(ensemble: Any, structure: Structure) -> Barostat | None:
    """The barostat of an ensemble; None at constant volume."""
    if not isinstance(ensemble, Npt):
        return None
    stiffness = ensemble.bulk_modulus_GPa / GPA_PER_EV_A3 * volume(structure.cell)
    return Barostat(
        ensemble.pressure_GPa / GPA_PER_EV_A3,
        len(structure.numbers),
        ensemble.cell,
        ensemble.barostat == "extended",
        ensemble.largest_ratio,
        ensemble.largest_cosine,
        structure.cell,
        stiffness * (ensemble.period_fs / (2 * math.pi)) ** 2,
    )


def volume(cell: Array) -> float:
    """Volume of a cell (3, 3) A, A^3."""
    return float(abs(np.linalg.det(cell)))


def strained(cell: Array, strain: Array) -> Change:
    """A cell (3, 3) A under a logarithmic strain (3, 3).

    Where the strain has off-diagonal parts the result is turned so that it is lower triangular: without this its
    orientation would wander, which no energy would resist.
    """
    if np.array_equal(strain, np.diag(np.diag(strain))):
        stretch, turn = np.diag(np.exp(np.diag(strain))), np.eye(3)
        return Change(cell @ stretch, stretch, turn)
    values, vectors = np.linalg.eigh(strain)
    stretch = (vectors * np.exp(values)) @ vectors.T
    turn = _upright(cell @ stretch)
    return Change(np.tril(cell @ stretch @ turn), stretch @ turn, turn)


def _upright(cell: Array) -> Array:
    """The rotation (3, 3) that makes cell @ rotation lower triangular, its first two diagonal elements positive."""
    q, r = np.linalg.qr(cell.T)
    turn = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    turn[:, 2] *= np.sign(np.linalg.det(turn))
    return np.asarray(turn)
