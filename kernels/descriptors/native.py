"""The Chebyshev descriptor and its two products by the compiled kernels; for at most two cut-off powers."""

from __future__ import annotations

from functools import lru_cache

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.native import Loops


@lru_cache(maxsize=16)
def _loops(descriptor: Chebyshev) -> Loops:
    return Loops(descriptor)


def values(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Array:
    """Features (B, N, F).  positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
    return _loops(descriptor).values(positions, numbers, cell, pbc)


def pull_back(
    descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, gradient: Array
) -> tuple[Array, Array]:
    """Forces (B, N, 3) eV/A and virial (B, 3, 3) eV of an energy with the derivative `gradient`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  gradient: (B, N, F) eV.
    """
    return _loops(descriptor).pull_back(positions, numbers, cell, pbc, gradient)


def push_forward(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, direction: Array) -> Array:
    """Change of the features (B, N, F) per unit of motion along `direction`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  direction: (B, N, 3), any unit.
    """
    return _loops(descriptor).push_forward(positions, numbers, cell, pbc, direction)
