"""What a learner keeps of every structure it has seen: features, and what its force products go through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.arrays import Array
from kernels.baseline import Baseline, coefficients, columns, pair_number
from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import values
from kernels.neighbors.numba_cpu import pairs
from kernels.pool import Pool
from protocol.records import Structure
from train_daemon.dataset import Sample


class Library:
    """Grows only; structures keep their places. n structures, A atoms in all.

    Products go through `compiled`, which keeps positions and neighbours; where that is None, through `pool`, which keeps the
    geometry of all pairs and triplets.
    """

    def __init__(
        self, descriptor: Chebyshev, dtype: type = np.float32, with_pairs: bool = False, compiled: Pool | None = None
    ) -> None:
        """with_pairs: keep what `above` needs for a two-body energy; 24 bytes an atom for each of its coefficients."""
        self.descriptor, self.dtype, self.with_pairs, self.compiled = descriptor, dtype, with_pairs, compiled
        self.spots = products.layout(descriptor)
        self.pool: products.Geometry | None = None
        self.features = np.zeros((0, descriptor.length))  # (A, F)
        self.kinds = np.zeros(0, dtype=np.int64)  # (A,) place of each atom's species
        self.energies = np.zeros(0)  # (n,) eV
        self.forces = np.zeros((0, 3))  # (A, 3) eV/A
        self.virials = np.zeros((0, 3, 3))  # (n, 3, 3) eV, 0 where there is none
        self.virial_known = np.zeros(0, dtype=bool)  # (n,)
        self.starts = np.zeros(1, dtype=np.int64)  # (n + 1,) first atom of each structure
        pair_count = len(descriptor.species) * (len(descriptor.species) + 1) // 2
        self.pair_energies = np.zeros((0, 2 * pair_count))  # (n, C) of each coefficient of kernels/baseline.py alone
        self.pair_forces = np.zeros((0, 3, 2 * pair_count))  # (A, 3, C)
        self.pair_virials = np.zeros((0, 3, 3, 2 * pair_count))  # (n, 3, 3, C)
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

    def virials_above(self, baseline: Baseline | None) -> Array:
        """The virials (n, 3, 3) eV that a network is to learn above a two-body energy; they mean nothing where none is known."""
        return self.virials if baseline is None else self.virials - self.pair_virials @ coefficients(baseline)

    def _grow(self, new: Sequence[Sample]) -> None:
        structures = [sample.structure for sample in new]
        places = [kinds(self.descriptor, structure.numbers) for structure in structures]
        before = len(self._places)
        for sample in new:
            self._places[sample.key] = len(self._places)
        if self.compiled is not None:
            self.compiled.add([(s.positions, s.numbers, s.cell, s.pbc) for s in structures])
            self.features = np.concatenate([self.features, self.compiled.values(np.arange(before, len(self._places)))])
        if self.compiled is None or self.with_pairs:
            self._take_pairs(structures, places)
        self.kinds = np.concatenate([self.kinds, *places])
        self.energies = np.append(self.energies, [sample.energy for sample in new])
        self.forces = np.concatenate([self.forces, *(sample.forces for sample in new)])
        virials = [np.zeros((3, 3)) if sample.virial is None else sample.virial for sample in new]
        self.virials = np.concatenate([self.virials, virials])
        self.virial_known = np.append(self.virial_known, [sample.virial is not None for sample in new])
        self.starts = np.append(self.starts, self.starts[-1] + np.cumsum([len(kinds) for kinds in places]))

    def _take_pairs(self, structures: Sequence[Structure], places: Sequence[Array]) -> None:
        """What needs the pairs of structures: a two-body energy, and geometry and features without the compiled kernels."""
        geometries, features, energies, forces, virials = [], [], [], [], []
        count, cutoff = len(self.descriptor.species), self.descriptor.radial_cutoff_A
        for structure, place in zip(structures, places, strict=True):
            found = pairs(structure.positions, structure.cell, structure.pbc, cutoff)
            if self.with_pairs:
                np.minimum.at(self.shortest_A, pair_number(place[found.first], place[found.second], count), found.distance)
                parts = columns(found, place, count, cutoff)
                energies.append(parts[0][None])
                forces.append(parts[1])
                virials.append(parts[2][None])
            if self.compiled is None:
                near = (found.first, found.second, found.vector, found.distance)
                geometries.append(products.geometry(self.spots, near, place, self.dtype))
                box = (structure.numbers, structure.cell, structure.pbc)
                features.append(values(self.descriptor, structure.positions[None], *box)[0])
        self.pair_energies = np.concatenate([self.pair_energies, *energies])
        self.pair_forces = np.concatenate([self.pair_forces, *forces])
        self.pair_virials = np.concatenate([self.pair_virials, *virials])
        self.features = np.concatenate([self.features, *features])
        if geometries:
            self.pool = products.join(([] if self.pool is None else [self.pool]) + geometries)
