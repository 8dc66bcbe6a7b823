"""Bond lengths, bond angles and pair distributions of structures in any cell, periodic images included."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols, covalent_radii

from kernels.arrays import Array
from kernels.images import folded, minimum_images
from kernels.neighbors import base as neighbors

BOND_FACTOR = 1.3  # a bond is a pair nearer than this times the sum of its covalent radii
LARGEST_CHUNK = 2_000_000  # distances held at once


@dataclass(frozen=True)
class Bonds:
    """The bonds of one reference structure, kept for a whole run so that a bond is one time series."""

    first: Array  # (M,) index of an atom
    second: Array  # (M,) index of an atom; first < second, or an image of the same atom
    vector: Array  # (M, 3) A, from first to the image of second in the reference structure
    names: Array  # (M,) str, e.g. "O-H": the heavier element first


@dataclass(frozen=True)
class PairDistribution:
    """How the distances of one kind of pair are distributed."""

    pair: str  # e.g. "O-H"
    distance: Array  # (K,) A, middles of the bins
    value: Array  # (K,) g(r), no unit, where periodic in three directions; else pairs per A, normalised to 1
    is_g: bool


def find_bonds(positions: Array, numbers: Array, cell: Array, pbc: Array) -> Bonds:
    """The bonds of one structure: pairs within 1.3 times their summed covalent radii, images included.

    positions: (N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.
    """
    radii = covalent_radii[numbers]
    shifts = image_shifts(cell, pbc, 2 * BOND_FACTOR * float(radii.max(initial=0.0)))
    i, j = np.triu_indices(len(numbers))
    vector = folded(positions[j] - positions[i], cell, pbc)[:, None, :] + shifts @ cell  # (pairs, images, 3)
    length = np.linalg.norm(vector, axis=-1)
    near = (length < BOND_FACTOR * (radii[i] + radii[j])[:, None]) & (length > 1e-6)
    near[i == j] &= _half(shifts)  # an atom and its own images: each bond once
    pair, image = np.nonzero(near)
    names = np.array([pair_name(numbers[a], numbers[b]) for a, b in zip(i[pair], j[pair], strict=True)], dtype=str)
    return Bonds(i[pair], j[pair], vector[pair, image], names)


def bond_vectors(bonds: Bonds, positions: Array, cell: Array, pbc: Array) -> Array:
    """Vectors of the bonds in other structures of the same system, by the image nearest to the reference.

    positions: (..., N, 3) A.  cell: (3, 3) A.  pbc: (3,) bool.  Returns (..., M, 3) A.
    """
    vector = positions[..., bonds.second, :] - positions[..., bonds.first, :]
    return np.asarray(bonds.vector + minimum_images(vector - bonds.vector, cell, pbc))


def bond_lengths(bonds: Bonds, positions: Array, cell: Array, pbc: Array) -> dict[str, Array]:
    """Lengths by kind of bond.  positions: (..., N, 3) A.  Returns name -> (..., bonds of that kind) A."""
    lengths = np.linalg.norm(bond_vectors(bonds, positions, cell, pbc), axis=-1)
    return {str(name): lengths[..., bonds.names == name] for name in np.unique(bonds.names)}


def bond_angles(bonds: Bonds, positions: Array, numbers: Array, cell: Array, pbc: Array) -> dict[str, Array]:
    """Angles between bonds that share an atom, by kind, the shared atom in the middle of the name.

    positions: (..., N, 3) A.  numbers: (N,).  Returns name -> (..., angles of that kind) degrees.
    """
    vectors = bond_vectors(bonds, positions, cell, pbc)
    found: dict[str, list[Array]] = {}
    ends = [(a, b, 1.0, k) for k, (a, b) in enumerate(zip(bonds.first, bonds.second, strict=True))]
    ends += [(b, a, -1.0, k) for a, b, _, k in ends]
    for (middle, one, s, k), (other_middle, two, t, m) in itertools.combinations(ends, 2):
        if middle != other_middle:
            continue
        outer = sorted((numbers[one], numbers[two]), reverse=True)
        name = "-".join(chemical_symbols[n] for n in (outer[0], numbers[middle], outer[1]))
        found.setdefault(name, []).append(_angle(s * vectors[..., k, :], t * vectors[..., m, :]))
    return {name: np.stack(angles, axis=-1) for name, angles in sorted(found.items())}


def in_own_cells(measure: Callable[[Array, Array], Mapping[str, Array]], rings: Array, cells: Array) -> dict[str, Array]:
    """A measure of structures in one cell, taken of rings that have a cell each; those of equal cells are measured together.

    measure: ((A, P, N, 3) A, (3, 3) A) -> name -> (A, ...).  rings: (R, P, N, 3) A.  cells: (R, 3, 3) A.  Returns as `measure`
    """
    found: dict[str, Array] = {}
    for chosen, cell in _by_cell(cells):
        for name, values in measure(rings[chosen], cell).items():
            found.setdefault(name, np.empty((len(rings), *values.shape[1:])))[chosen] = values
    return found


def pair_distributions(
    rings: Array, numbers: Array, cells: Array, pbc: Array, largest_A: float, bins: int = 200
) -> list[PairDistribution]:
    """Distribution of distances up to `largest_A` for every pair of elements, all images counted, each ring in its own volume.

    rings: (R, P, N, 3) A, every bead a structure.  numbers: (N,).  cells: (R, 3, 3) A.
    """
    edges = np.linspace(0.0, largest_A, bins + 1)
    kinds, periodic = pair_kinds(numbers), bool(np.all(pbc))
    counts = {name: np.zeros(bins) for name in kinds}
    for chosen, cell in _by_cell(cells):
        share = abs(np.linalg.det(cell)) if periodic else 1.0
        here = pair_histograms(rings[chosen].reshape(-1, *rings.shape[2:]), numbers, cell, pbc, edges)
        for name in kinds:
            counts[name] += share * here[name]
    structures = rings.shape[0] * rings.shape[1]
    found = [_normalised(name, counts[name], edges, kinds[name] * structures, periodic) for name in kinds]
    return [distribution for distribution in found if np.any(distribution.value)]


def _by_cell(cells: Array) -> Iterator[tuple[Array, Array]]:
    """Which of the cells (R, 3, 3) A are equal: their places, and the cell."""
    _, place = np.unique(cells.reshape(-1, 9), axis=0, return_inverse=True)
    for number in range(place.max(initial=-1) + 1):
        chosen = np.flatnonzero(place.reshape(-1) == number)
        yield chosen, cells[chosen[0]]


def pair_kinds(numbers: Array, own: bool = True) -> dict[str, int]:
    """Ordered pairs of atoms by kind of pair, heavy elements first; own: an atom with itself (its images) is a pair too."""
    elements, counts = np.unique(numbers, return_counts=True)
    kinds = itertools.combinations_with_replacement(sorted(zip(elements, counts, strict=True), reverse=True), 2)
    return {pair_name(one, two): int(n * (m - 1 if one == two and not own else m)) for (one, n), (two, m) in kinds}


def pair_histograms(positions: Array, numbers: Array, cell: Array, pbc: Array, edges: Array) -> dict[str, Array]:
    """Counts of distances between ordered pairs in bins, by kind of pair, all images counted.

    positions: (B, N, 3) A, in one cell.  numbers: (N,).  edges: (K + 1,) A.  Returns name -> (K,).
    """
    lattice = (image_shifts(cell, pbc, float(edges[-1])), cell, pbc)
    found = {}
    for one, two in itertools.combinations_with_replacement(sorted(np.unique(numbers), reverse=True), 2):
        first, second = np.flatnonzero(numbers == one), np.flatnonzero(numbers == two)
        found[pair_name(one, two)] = _count(positions[:, first], positions[:, second], bool(one == two), lattice, edges)
    return found


def image_shifts(cell: Array, pbc: Array, reach_A: float) -> Array:
    """Integer shifts (K, 3) of all images that can lie within `reach_A` of a folded difference vector."""
    spans = [0, 0, 0]
    if np.any(pbc):
        heights = neighbors.lattice(cell, pbc).heights
        spans = [int(np.floor(reach_A / heights[k] + 0.5)) if pbc[k] else 0 for k in range(3)]
    return np.array(list(itertools.product(*(range(-span, span + 1) for span in spans))), dtype=float)


def pair_name(one: int, two: int) -> str:
    """E.g. "O-H": the heavier element first."""
    return f"{chemical_symbols[max(one, two)]}-{chemical_symbols[min(one, two)]}"


def _half(shifts: Array) -> Array:
    """True for one of each pair of opposite shifts: the first component that is not zero is positive."""
    return np.asarray([bool(s.any()) and s[np.flatnonzero(s)[0]] > 0 for s in shifts])


def _angle(one: Array, two: Array) -> Array:
    cosine = (one * two).sum(axis=-1) / (np.linalg.norm(one, axis=-1) * np.linalg.norm(two, axis=-1))
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _count(first: Array, second: Array, same: bool, lattice: tuple[Array, Array, Array], edges: Array) -> Array:
    """Histogram of ordered pair distances; first: (B, A, 3), second: (B, C, 3) A.  Returns (K,) counts."""
    shifts, cell, pbc = lattice
    counts = np.zeros(len(edges) - 1)
    rows = max(1, LARGEST_CHUNK // max(1, first.shape[1] * second.shape[1] * len(shifts)))
    images = shifts @ cell
    for start in range(0, len(first), rows):
        vectors = second[start : start + rows, None, :, :] - first[start : start + rows, :, None, :]
        squared = ((folded(vectors, cell, pbc)[..., None, :] + images) ** 2).sum(axis=-1)
        squared = squared[squared > 1e-12] if same else squared.ravel()
        counts += np.histogram(np.sqrt(squared[squared < edges[-1] ** 2]), edges)[0]
    return counts


def _normalised(name: str, counts: Array, edges: Array, pairs: int, periodic: bool) -> PairDistribution:
    """counts: of all structures, each times its volume where periodic."""
    middles = 0.5 * (edges[1:] + edges[:-1])
    if not periodic:
        value = counts / max(counts.sum(), 1) / np.diff(edges)
    else:
        shells = 4 / 3 * np.pi * np.diff(edges**3)
        value = counts / (pairs * shells)
    return PairDistribution(name, middles, value, periodic)
