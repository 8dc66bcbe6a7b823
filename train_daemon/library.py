"""What a learner keeps of every structure it has seen: features and the geometry of pairs and triplets, computed once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.arrays import Array
from kernels.baseline import Baseline, coefficients, columns, pair_number
from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import values
from kernels.neighbors.numba_cpu import pairs
from train_daemon.dataset import Sample


class Library:
    """Grows only; structures keep their places. n structures, A atoms in all."""

    def __init__(self, descriptor: Chebyshev, dtype: type = np.float32, with_pairs: bool = False) -> None:
        """with_pairs: keep what `above` needs for a two-body energy; 24 bytes an atom for each of its coefficients."""
        self.descriptor, self.dtype, self.with_pairs = descriptor, dtype, with_pairs
        self.spots = products.layout(descriptor)
        self.pool: products.Geometry | None = None
        self.features = np.zeros((0, descriptor.length))  # (A, F)
        self.kinds = np.zeros(0, dtype=np.int64)  # (A,) place of each atom's species
        self.energies = np.zeros(0)  # (n,) eV
        self.forces = np.zeros((0, 3))  # (A, 3) eV/A
        self.starts = np.zeros(1, dtype=np.int64)  # (n + 1,) first atom of each structure
        pair_count = len(descriptor.species) * (len(descriptor.species) + 1) // 2
        self.pair_energies = np.zeros((0, 2 * pair_count))  # (n, C) of each coefficient of kernels/baseline.py alone
        self.pair_forces = np.zeros((0, 3, 2 * pair_count))  # (A, 3, C)
        self.shortest_A = np.full(pair_count, np.inf)  # distance of each species pair
        self._places: dict[bytes, int] = {}

    def add(self, samples: Sequence[Sample]) -> Array:
        """Compute what is not here yet; returns the places of all `samples`."""
        new = [sample for sample in {sample.key: sample for sample in samples}.values() if sample.key not in self._places]
        if new:
            self._grow(new)
        return np.array([self._places[sample.key] for sample in samples], dtype=np.int64)

    def composition(self, members: Array) -> Array:
        """Number of atoms of each species in the given structures.  members: (m,).  Returns (m, species)."""
        count = len(self.descriptor.species)
        owner = np.repeat(np.arange(len(self.energies)), np.diff(self.starts))
        table = np.bincount(owner * count + self.kinds, minlength=len(self.energies) * count).reshape(-1, count)
        return table[members]

    def atoms(self, members: Array) -> Array:
        """Rows of the atoms of the given structures.  members: (m,)."""
        chosen = np.zeros(len(self.energies), dtype=bool)
        chosen[members] = True
        return np.flatnonzero(np.repeat(chosen, np.diff(self.starts)))

    def above(self, baseline: Baseline | None) -> tuple[Array, Array]:
        """What a network is to learn above a two-body energy: energies (n,) eV and forces (A, 3) eV/A."""
        if baseline is None:
            return self.energies, self.forces
        factors = coefficients(baseline)
        return self.energies - self.pair_energies @ factors, self.forces - self.pair_forces @ factors

    def _grow(self, new: Sequence[Sample]) -> None:
        parts, features, pair_energies, pair_forces = [], [], [], []
        count = len(self.descriptor.species)
        for sample in new:
            structure = sample.structure
            places = kinds(self.descriptor, structure.numbers)
            found = pairs(structure.positions, structure.cell, structure.pbc, self.descriptor.radial_cutoff_A)
            if self.with_pairs:
                np.minimum.at(self.shortest_A, pair_number(places[found.first], places[found.second], count), found.distance)
                energies, forces = columns(found, places, count, self.descriptor.radial_cutoff_A)
                pair_energies.append(energies)
                pair_forces.append(forces)
            near = (found.first, found.second, found.vector, found.distance)
            parts.append(products.geometry(self.spots, near, places, self.dtype))
            box = (structure.numbers, structure.cell, structure.pbc)
            features.append(values(self.descriptor, structure.positions[None], *box)[0])
            self._places[sample.key] = len(self._places)
        self.pool = products.join(([] if self.pool is None else [self.pool]) + parts)
        self.features = np.concatenate([self.features, *features])
        self.kinds = np.concatenate([self.kinds, *(kinds(self.descriptor, s.structure.numbers) for s in new)])
        self.energies = np.append(self.energies, [sample.energy for sample in new])
        self.forces = np.concatenate([self.forces, *(sample.forces for sample in new)])
        self.pair_energies = np.concatenate([self.pair_energies, *(energies[None] for energies in pair_energies)])
        self.pair_forces = np.concatenate([self.pair_forces, *pair_forces])
        sizes = np.array([len(sample.structure.numbers) for sample in new])
        self.starts = np.append(self.starts, self.starts[-1] + np.cumsum(sizes))
