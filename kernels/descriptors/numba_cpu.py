"""The Chebyshev descriptor and its two products on one core; batches run one structure after the other.

What happens at one atom stands in kernels/neighborhood.py and kernels/moments.py; here are the loops over atoms and structures.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev, kinds
from kernels.jit import entry
from kernels.moments import drift, measure, push
from kernels.neighborhood import fitting, gather, workspace
from kernels.neighbors.base import Lattice, lattice
from kernels.neighbors.numba_cpu import is_usable, search
from kernels.plan import Plan, mix, unmix


@lru_cache(maxsize=64)
def plan_of(descriptor: Chebyshev) -> Plan:
    """The descriptor in the form that kernels take."""
    radial_mix, angular_mix = descriptor.mixing
    radial_place, angular_place = descriptor.places
    return Plan(
        len(descriptor.species),
        float(descriptor.radial_cutoff_A),
        float(descriptor.angular_cutoff_A),
        descriptor.radial_order + 1,
        descriptor.angular_order + 1,
        np.array(descriptor.powers, dtype=np.int64),
        radial_mix,
        angular_mix,
        radial_place.astype(np.int64),
        np.ascontiguousarray(angular_place, dtype=np.int64),
        descriptor.length,
        descriptor.basis == "bspline",
    )


def values(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Array:
    """Features (B, N, F).  positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
    positions = np.array(positions, dtype=np.float64, order="C")
    return _values(positions, kinds(descriptor, numbers), lattice(cell, pbc), plan_of(descriptor))


def pull_back(
    descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, gradient: Array
) -> tuple[Array, Array]:
    """Forces (B, N, 3) eV/A and virial (B, 3, 3) eV of an energy with the derivative `gradient`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  gradient: (B, N, F) eV.
    """
    positions = np.array(positions, dtype=np.float64, order="C")
    gradient = np.array(gradient, dtype=np.float64, order="C")
    _same_shape(gradient, (*positions.shape[:2], descriptor.length), "gradient")
    return _pull_back(positions, kinds(descriptor, numbers), lattice(cell, pbc), plan_of(descriptor), gradient)


def push_forward(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, direction: Array) -> Array:
    """Change of the features (B, N, F) per unit of motion along `direction`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  direction: (B, N, 3), any unit.
    """
    positions = np.array(positions, dtype=np.float64, order="C")
    direction = np.array(direction, dtype=np.float64, order="C")
    _same_shape(direction, positions.shape, "direction")
    return _push_forward(positions, kinds(descriptor, numbers), lattice(cell, pbc), plan_of(descriptor), direction)


def _same_shape(array: Array, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")


@entry
def _values(positions: Array, species: Array, box: Lattice, plan: Plan) -> Array:
    """The loop over structures and atoms of `values`."""
    structures, atoms = positions.shape[0], positions.shape[1]
    features = np.zeros((structures, atoms, plan.length))
    around = workspace(plan, 0, 0)
    for b in range(structures):
        if not is_usable(positions[b]):
            features[b] = np.nan
            continue
        found = search(positions[b], box, plan.radial_cutoff)
        around = fitting(around, plan, found)
        for i in range(atoms):
            gather(plan, around, found, species, i)
            measure(plan, around)
            mix(plan, around.moments, features[b, i])
    return features


@entry
def _pull_back(positions: Array, species: Array, box: Lattice, plan: Plan, gradient: Array) -> tuple[Array, Array]:
    """The loop over structures and atoms of `pull_back`."""
    structures, atoms = positions.shape[0], positions.shape[1]
    forces, virial = np.zeros((structures, atoms, 3)), np.zeros((structures, 3, 3))
    around = workspace(plan, 0, 0)
    for b in range(structures):
        if not is_usable(positions[b]):
            forces[b], virial[b] = np.nan, np.nan
            continue
        found = search(positions[b], box, plan.radial_cutoff)
        around = fitting(around, plan, found)
        for i in range(atoms):
            gather(plan, around, found, species, i)
            unmix(plan, gradient[b, i], around.moments)
            push(plan, around, i, forces[b], virial[b])
    return forces, virial


@entry
def _push_forward(positions: Array, species: Array, box: Lattice, plan: Plan, direction: Array) -> Array:
    """The loop over structures and atoms of `push_forward`."""
    structures, atoms = positions.shape[0], positions.shape[1]
    change = np.zeros((structures, atoms, plan.length))
    around = workspace(plan, 0, 0)
    for b in range(structures):
        if not is_usable(positions[b]):
            change[b] = np.nan
            continue
        found = search(positions[b], box, plan.radial_cutoff)
        around = fitting(around, plan, found)
        for i in range(atoms):
            gather(plan, around, found, species, i)
            drift(plan, around, i, direction[b])
            mix(plan, around.moments, change[b, i])
    return change
