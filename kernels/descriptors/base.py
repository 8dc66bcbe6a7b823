"""Contract of a local descriptor and its products with vectors; a Jacobian is never stored.

A backend is a file here that defines, held equal to reference.py by its test,

    values(descriptor, positions, numbers, cell, pbc) -> (B, N, F)
    pull_back(descriptor, positions, numbers, cell, pbc, gradient (B, N, F)) -> forces (B, N, 3), virial (B, 3, 3)
    push_forward(descriptor, positions, numbers, cell, pbc, direction (B, N, 3)) -> (B, N, F)

with positions (B, N, 3) A, numbers (N,) atomic numbers, cell (3, 3) A, pbc (3,) bool. With J = d values / d positions,
forces = -J^T gradient and push_forward = J direction. The virial is sum_pairs vector (x) force, so the stress
(tension positive) is -virial / volume. All functions give a structure the same bits in any batch.
Positions that are not finite give NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from kernels.arrays import Array

Family = Literal["species_resolved", "species_weighted"]
Basis = Literal["chebyshev", "bspline"]
BASES = ("chebyshev", "bspline")  # by the codes of the compiled loops


@dataclass(frozen=True)
class Chebyshev:
    """Chebyshev moments of the distances (m = 0..radial_order) and angles (m = 0..angular_order) about an atom.

    radial moment of species s:     sum_{j in s} f(d_j; R_r) T_m(2 d_j / R_r - 1)
    angular moment of a, b, power p: sum_{j<k, one in a, one in b} [f(d_j; R_a) f(d_k; R_a)]^p T_m(cos jik)

    species_resolved has them all: radial [species, m], then angular [power, pair, m] with the pairs (0,0), (0,1), ..., (1,1), ...
    species_weighted is aenet's: [c_m, a_m] summed over species, then the same with weights (if there are two species or more);
    the weights are the places in `species`, ..., -1, 1, ... (or -1, 0, 1 for an odd number).

    With the basis bspline, T_m is the cubic B-spline m of kernels/splines.py on order - 2 equal intervals of -1..1, and the
    family is species_resolved.
    """

    species: tuple[int, ...]  # atomic numbers; their order matters
    family: Family
    radial_order: int
    radial_cutoff_A: float
    angular_order: int
    angular_cutoff_A: float  # at most the radial one
    powers: tuple[int, ...] = ()  # of the angular cut-off product; () = (1, 3) if resolved; weighted has (1,) only
    basis: Basis = "chebyshev"  # the functions of one variable

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be a descriptor."""
        if not self.species or len(set(self.species)) != len(self.species):
            raise ValueError(f"species must be different atomic numbers, got {self.species}")
        if self.family not in ("species_resolved", "species_weighted"):
            raise ValueError(f"family must be species_resolved or species_weighted, got {self.family!r}")
        if min(self.radial_order, self.angular_order) < 0:
            raise ValueError("orders must be at least 0")
        if self.basis not in BASES:
            raise ValueError(f"basis must be chebyshev or bspline, got {self.basis!r}")
        if self.basis == "bspline" and (min(self.radial_order, self.angular_order) < 3 or self.family != "species_resolved"):
            raise ValueError("B-splines need orders of at least 3 and the family species_resolved")
        if not 0 < self.angular_cutoff_A <= self.radial_cutoff_A < np.inf:
            raise ValueError(
                f"need 0 < angular cut-off <= radial cut-off, got {self.angular_cutoff_A} and {self.radial_cutoff_A} A"
            )
        if not self.powers:
            object.__setattr__(self, "powers", (1, 3) if self.family == "species_resolved" else (1,))
        if min(self.powers) < 1 or (self.family == "species_weighted" and self.powers != (1,)):
            raise ValueError(f"powers must be at least 1, and (1,) for species_weighted; got {self.powers}")

    @cached_property
    def mixing(self) -> tuple[Array, Array]:
        """Weights that make feature channels of resolved moments: radial (channels, species), angular (channels, pairs)."""
        count = len(self.species)
        pairs = np.array([(a, b) for a in range(count) for b in range(a, count)])
        if self.family == "species_resolved":
            return np.eye(count), np.eye(len(pairs))
        ones = np.ones((1, count)), np.ones((1, len(pairs)))
        if count == 1:
            return ones
        spins = np.array([s for s in range(-(count // 2), count // 2 + 1) if s != 0 or count % 2], dtype=np.float64)
        return np.vstack([ones[0], spins]), np.vstack([ones[1], spins[pairs].prod(axis=1)])

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """Column of the first feature of each channel: radial (channels,), angular (powers, channels)."""
        radial, angular = (len(weights) for weights in self.mixing)
        long, short = self.radial_order + 1, self.angular_order + 1
        if self.family == "species_weighted":
            stride = long + short
            return np.arange(radial) * stride, (np.arange(angular) * stride + long)[None, :]
        powers = len(self.powers)
        return np.arange(radial) * long, radial * long + np.arange(powers * angular).reshape(powers, angular) * short

    @property
    def length(self) -> int:
        """F, the number of features of an atom."""
        radial, angular = self.mixing
        return len(radial) * (self.radial_order + 1) + len(self.powers) * len(angular) * (self.angular_order + 1)


def kinds(descriptor: Chebyshev, numbers: Array) -> Array:
    """Place of each atom's species in the descriptor's list, (N,) int.  numbers: (N,) atomic numbers.

    Raises ValueError for an atomic number that it does not know.
    """
    known, numbers = np.array(descriptor.species), np.asarray(numbers)
    same = numbers[:, None] == known
    strangers = sorted(set(numbers[~same.any(axis=1)].tolist()))
    if strangers:
        raise ValueError(f"atomic numbers {strangers} are not among the species {list(descriptor.species)} of the descriptor")
    return same.argmax(axis=1)
