"""Lattice sites of atoms that hop: which sites are occupied, and what stands beside a vacancy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.arrays import Array
from kernels.images import minimum_images
from protocol.errors import BadSetting
from protocol.records import Structure

NOBODY = -1


@dataclass(frozen=True)
class Sites:
    """S fixed places; an atom belongs to the site whose sphere its centroid is in, to none outside of all spheres."""

    positions: Array  # (S, 3) A
    neighbours: Array  # (S, S) bool, symmetric
    capture_A: float  # radius of the spheres, which do not overlap
    cell: Array  # (3, 3) A
    pbc: Array  # (3,) bool

    def occupants(self, centroids: Array) -> Array:
        """Site of each atom, NOBODY where it has none.  centroids: (N, 3) A.  Returns (N,) int."""
        way = minimum_images(centroids[:, None] - self.positions, self.cell, self.pbc)
        squares = np.sum(way**2, axis=2)
        nearest = squares.argmin(axis=1)
        inside = squares[np.arange(len(centroids)), nearest] < self.capture_A**2
        return np.where(inside, nearest, NOBODY)

    def vacant(self, occupants: Array) -> Array:
        """Sites without an atom, ascending.  occupants: (N,) int, as told by `occupants`."""
        empty = np.ones(len(self.positions), bool)
        empty[occupants[occupants != NOBODY]] = False
        return np.flatnonzero(empty)

    def beside(self, site: int, occupants: Array) -> list[tuple[int, int]]:
        """(site, atom) of all atoms on neighbours of a site.  occupants: (N,) int."""
        atoms = np.flatnonzero((occupants != NOBODY) & self.neighbours[site][occupants])
        return [(int(occupants[atom]), int(atom)) for atom in atoms]


def lattice_sites(structure: Structure, vacant_A: Array, neighbour_A: float, capture_A: float) -> Sites:
    """Sites at the atoms of a structure and at the vacant places (V, 3) A; neighbours are at most `neighbour_A` apart.

    Raises BadSetting where the spheres of two sites overlap, or a vacant place has no neighbour.
    """
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    where = np.concatenate([structure.positions, np.asarray(vacant_A, dtype=np.float64).reshape(-1, 3)])
    atoms = Atoms(np.ones(len(where)), where, cell=structure.cell, pbc=structure.pbc)
    first, second, distance = neighbor_list("ijd", atoms, max(neighbour_A, 2 * capture_A) * (1 + 1e-9))
    if len(distance) and distance.min() < 2 * capture_A:
        worst = distance.argmin()
        raise BadSetting(
            f"sampler.moves.vacancy: sites {first[worst] + 1} and {second[worst] + 1} are {distance[worst]:.2f} A apart, "
            f"so spheres of capture_A {capture_A:g} overlap",
            next="a smaller capture_A, or other vacant_A; the vacant sites are counted behind the atoms",
        )
    near = np.zeros((len(where), len(where)), bool)
    close = distance <= neighbour_A * (1 + 1e-9)
    near[first[close], second[close]] = True
    np.fill_diagonal(near, False)
    lonely = [k for k in range(len(structure.positions), len(where)) if not near[k].any()]
    if lonely:
        number = lonely[0] - len(structure.positions) + 1
        raise BadSetting(f"sampler.moves.vacancy: vacant site {number} has no site within neighbour_A {neighbour_A:g}")
    return Sites(where, near, capture_A, structure.cell, structure.pbc)
