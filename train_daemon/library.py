"""What a learner keeps of every structure it has seen: features, and what its force products go through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.baseline import Baseline, coefficients, columns, pair_number
from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.descriptors.numba_cpu import values
from kernels.ewald import PointCharges
from kernels.neighbors.numba_cpu import pairs
from kernels.pool import Pool, compiled_pool
from protocol.records import Structure
from train_daemon import charges as coulomb
from train_daemon.dataset import Sample
from train_daemon.learners.base import LearnerContext
from train_daemon.scratch import ScratchArray, no_room

CHUNK_ATOMS = 20_000  # that are taken in together: what is not on scratch yet stays small


class Below(NamedTuple):
    """What lies below the networks."""

    with_pairs: bool = False  # keep what `Library.above` needs for a two-body energy
    charges: PointCharges | None = None  # of all species; their energies and forces are taken off the labels


NOTHING_BELOW = Below()


class _Label(NamedTuple):
    """What is learned of one structure."""

    energy: float  # eV
    forces: Array  # (N, 3) eV/A
    virial: Array  # (3, 3) eV


class Library:
    """Grows only; structures keep their places. n structures, A atoms in all.

    Products go through `compiled`, which keeps positions and neighbours; where that is None, through `pool`, which keeps the
    geometry of all pairs and triplets. Features and geometry are on scratch: memory holds what there is room for.
    """

    def __init__(
        self,
        descriptor: Chebyshev,
        dtype: type = np.float32,
        below: Below = NOTHING_BELOW,
        compiled: Pool | None = None,
        with_triplets: bool = True,
        scratch: Path | None = None,
    ) -> None:
        """with_triplets: those of `pool`.  scratch: a local folder; None: that of temporary files."""
        self.descriptor, self.dtype, self.compiled = descriptor, dtype, compiled
        self.with_pairs, self.charges = below
        self.with_triplets = with_triplets
        self.spots = products.layout(descriptor)
        self.pool: products.Geometry | None = None
        self.kinds = np.zeros(0, dtype=np.int64)  # (A,) place of each atom's species
        self.energies = np.zeros(0)  # (n,) eV, above the charges
        self.forces = np.zeros((0, 3))  # (A, 3) eV/A, above the charges
        self.virials = np.zeros((0, 3, 3))  # (n, 3, 3) eV, above the charges; they mean nothing where none is known
        self.virial_known = np.zeros(0, dtype=bool)  # (n,)
        self.starts = np.zeros(1, dtype=np.int64)  # (n + 1,) first atom of each structure
        species = len(descriptor.species)
        pair_count = species * (species + 1) // 2
        self.shifts = np.zeros((species, descriptor.length))  # of the features, about their means: so they keep their digits
        self.pair_energies = np.zeros((0, 2 * pair_count))  # (n, C) of each coefficient of kernels/baseline.py alone
        self.pair_virials = np.zeros((0, 3, 3, 2 * pair_count))  # (n, 3, 3, C)
        self.shortest_A = np.full(pair_count, np.inf)  # distance of each species pair
        self._features = ScratchArray(scratch, (descriptor.length,), dtype)
        self._pair_forces = ScratchArray(scratch, (3, 2 * pair_count), np.float64)
        self._columns: tuple[ScratchArray, ...] = ()  # of `pool`
        self._places: dict[bytes, int] = {}
        self._seen: set[int] = set()  # species with atoms
        self._scratch = scratch

    @property
    def features(self) -> Array:
        """(A, F) less `shifts` of the atom's species."""
        return self._features.rows

    @property
    def pair_forces(self) -> Array:
        """(A, 3, C) of each coefficient of the two-body energy alone."""
        return self._pair_forces.rows

    def add(self, samples: Sequence[Sample]) -> Array:
        """Compute what is not here yet; returns the places of all `samples`.

        Raises EnvironmentFailed if scratch is full; then the library can no longer be used.
        """
        new = [sample for sample in {sample.key: sample for sample in samples}.values() if sample.key not in self._places]
        if new:
            places = [kinds(self.descriptor, sample.structure.numbers) for sample in new]
            for chunk in _chunks(places):
                self._take([sample.structure for sample in new[chunk]], places[chunk])
            self.kinds = np.concatenate([self.kinds, *places])
            labels = [self._above_charges(sample, place) for sample, place in zip(new, places, strict=True)]
            self.energies = np.append(self.energies, [label.energy for label in labels])
            self.forces = np.concatenate([self.forces, *(label.forces for label in labels)])
            self.virials = np.concatenate([self.virials, [label.virial for label in labels]])
            self.virial_known = np.append(self.virial_known, [sample.virial is not None for sample in new])
            self.starts = np.append(self.starts, self.starts[-1] + np.cumsum([len(place) for place in places]))
            for sample in new:
                self._places[sample.key] = len(self._places)
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
        """What a network is to learn above the charges and a two-body energy: energies (n,) eV and forces (A, 3) eV/A."""
        if baseline is None:
            return self.energies, self.forces
        factors = coefficients(baseline)
        return self.energies - self.pair_energies @ factors, self.forces - self.pair_forces @ factors

    def virials_above(self, baseline: Baseline | None) -> Array:
        """The virials (n, 3, 3) eV that a network is to learn above a two-body energy; they mean nothing where none is known."""
        return self.virials if baseline is None else self.virials - self.pair_virials @ coefficients(baseline)

    def moments(self, rows: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the features, (species, F) each; 0 for a species without atoms.  rows: (m,) atoms."""
        count, width = self.shifts.shape
        atoms, sums, squares = np.zeros(count), np.zeros((count, width)), np.zeros((count, width))
        for begin in range(0, len(rows), CHUNK_ATOMS):
            chunk = rows[begin : begin + CHUNK_ATOMS]
            for kind in range(count):
                found = self.features[chunk[self.kinds[chunk] == kind]].astype(np.float64)
                atoms[kind] += len(found)
                sums[kind] += found.sum(axis=0)
                squares[kind] += np.square(found).sum(axis=0)
        shares = np.maximum(atoms, 1)[:, None]
        mean = sums / shares
        return mean + self.shifts * (atoms > 0)[:, None], np.sqrt(np.maximum(squares / shares - mean**2, 0.0))

    def _take(self, structures: Sequence[Structure], places: Sequence[Array]) -> None:
        """Features and what products go through.  places: of the atoms' species."""
        if self.compiled is not None:
            before = len(self.compiled.starts) - 1
            try:
                self.compiled.add([(s.positions, s.numbers, s.cell, s.pbc) for s in structures])
            except OSError as error:
                raise no_room(error, self._scratch) from error
            features = self.compiled.values(np.arange(before, before + len(structures)))
        else:
            features = self._take_geometry(structures, places)
        if self.with_pairs:
            self._take_pairs(structures, places)
        kind = np.concatenate(places)
        for new in set(kind) - self._seen:
            self.shifts[new] = features[kind == new].mean(axis=0)
            self._seen.add(new)
        self._features.append(features - self.shifts[kind])

    def _above_charges(self, sample: Sample, place: Array) -> _Label:
        """A label without the part of the charges.  place: (N,) of the atoms' species."""
        label = _Label(sample.energy, sample.forces, np.zeros((3, 3)) if sample.virial is None else sample.virial)
        if self.charges is None:
            return label
        found = coulomb.sums(self.charges, sample.structure, place)
        return _Label(label.energy - float(found.energy[0]), label.forces - found.forces[0], label.virial - found.virial[0])

    def _take_pairs(self, structures: Sequence[Structure], places: Sequence[Array]) -> None:
        """What a two-body energy needs."""
        count, cutoff = len(self.descriptor.species), self.descriptor.radial_cutoff_A
        energies, virials = [], []
        for structure, place in zip(structures, places, strict=True):
            found = pairs(structure.positions, structure.cell, structure.pbc, cutoff)
            np.minimum.at(self.shortest_A, pair_number(place[found.first], place[found.second], count), found.distance)
            energy, forces, virial = columns(found, place, count, cutoff)
            energies.append(energy)
            virials.append(virial)
            self._pair_forces.append(forces)
        self.pair_energies = np.concatenate([self.pair_energies, energies])
        self.pair_virials = np.concatenate([self.pair_virials, virials])

    def _take_geometry(self, structures: Sequence[Structure], places: Sequence[Array]) -> Array:
        """Pairs and triplets without the compiled kernels.  Returns the features (a, F)."""
        geometries, features = [], []
        for structure, place in zip(structures, places, strict=True):
            found = pairs(structure.positions, structure.cell, structure.pbc, self.descriptor.radial_cutoff_A)
            near = (found.first, found.second, found.vector, found.distance)
            geometries.append(products.geometry(self.spots, near, place, self.dtype, self.with_triplets))
            box = (structure.numbers, structure.cell, structure.pbc)
            features.append(values(self.descriptor, structure.positions[None], *box)[0])
        made = products.join(geometries)
        if self.pool is None:
            self._columns = tuple(ScratchArray(self._scratch, column.shape[1:], column.dtype) for column in made[1:])
            starts = made.starts
        else:
            starts = np.concatenate([self.pool.starts, self.pool.starts[-1] + made.starts[1:]])
        for kept, column in zip(self._columns, made[1:], strict=True):
            kept.append(column)
        self.pool = products.Geometry(starts, *(kept.rows for kept in self._columns))
        return np.concatenate(features)


def library_of(descriptor: Chebyshev, below: Below, context: LearnerContext, device: str) -> Library:
    """An empty library for products on a device."""
    if device == "cpu":
        try:
            compiled = compiled_pool(descriptor, folder=context.scratch)
        except OSError as error:
            raise no_room(error, context.scratch) from error
        return Library(descriptor, below=below, compiled=compiled, scratch=context.scratch)
    from train_daemon.blocks import in_triton

    with_triplets = descriptor.basis == "bspline" or not in_triton(device)
    return Library(descriptor, below=below, with_triplets=with_triplets, scratch=context.scratch)


def _chunks(places: Sequence[Array]) -> Iterator[slice]:
    """Consecutive structures of about CHUNK_ATOMS together."""
    begin = atoms = 0
    for number, place in enumerate(places, 1):
        atoms += len(place)
        if atoms >= CHUNK_ATOMS or number == len(places):
            yield slice(begin, number)
            begin, atoms = number, 0
