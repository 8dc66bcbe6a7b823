"""Static structure factors: total scattering over the sum of the squared scattering amplitudes, so an ideal gas has S = 1."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from protocol.errors import BadSetting
from renkei.analysis.scattering_tables import FORM_FACTORS, SCATTERING_LENGTHS

DEUTERIUM_AMU, TRITIUM_AMU = (1.5, 2.5), (2.5, 3.5)  # masses of hydrogen that mean D and T
LARGEST_CHUNK = 2_000_000  # phases held at once


def form_factors(numbers: Array, q: Array) -> Array:
    """X-ray amplitudes f(q) of neutral atoms, electrons.  numbers: (N,).  q: (K,) 1/A, at most 75.  Returns (N, K).

    Raises BadSetting for an element without an entry.
    """
    elements, place = np.unique(numbers, return_inverse=True)
    table = np.array([_entry(FORM_FACTORS, chemical_symbols[z], "X-ray form factor") for z in elements])
    s = (np.asarray(q) / (4 * np.pi)) ** 2
    found = (table[:, :5, None] * np.exp(-table[:, 6:, None] * s)).sum(axis=1) + table[:, 5, None]
    return np.asarray(found[place])


def scattering_lengths(numbers: Array, masses_amu: Array) -> Array:
    """Coherent neutron scattering lengths, fm; (N,). Hydrogen of mass 2 or 3 is D or T, all else the natural mixture.

    Raises BadSetting for an element without an entry.
    """
    found = []
    for number, mass in zip(numbers, masses_amu, strict=True):
        symbol = chemical_symbols[number]
        for name, (least, most) in (("D", DEUTERIUM_AMU), ("T", TRITIUM_AMU)):
            symbol = name if number == 1 and least < mass < most else symbol
        found.append(_entry(SCATTERING_LENGTHS, symbol, "neutron scattering length"))
    return np.array(found)


def reciprocal_indices(cell: Array, edges: Array, per_bin: int) -> Array:
    """Integer indices (M, 3) of reciprocal vectors with lengths between the first and last edge, one of each pair +-q.

    At most `per_bin` of each bin, evenly taken from the sorted ones.  cell: (3, 3) A.  edges: (K + 1,) 1/A.
    """
    reach = [int(edges[-1] * np.linalg.norm(vector) / (2 * np.pi)) + 1 for vector in cell]
    axes = [np.arange(-n, n + 1) for n in reach]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[len(grid) // 2 + 1 :]  # the second half: without zero and the opposites
    length = np.linalg.norm(_vectors(grid, cell), axis=-1)
    order = np.argsort(length, kind="stable")
    chosen = []
    for low, high in itertools.pairwise(edges):
        inside = order[(length[order] >= low) & (length[order] < high)]
        chosen.append(inside[np.linspace(0, len(inside) - 1, min(per_bin, len(inside))).astype(int)])
    return np.asarray(grid[np.concatenate(chosen)])


def lattice_structure_factor(
    positions: Array, amplitudes: Array, lengths: Array, indices: Array, cell: Array
) -> tuple[Array, Array]:
    """S at reciprocal vectors of a periodic cell, averaged over structures, for A kinds of radiation.

    positions: (B, N, 3) A.  amplitudes: (A, N, L) at the lengths (L,) 1/A, between which they are interpolated.
    indices: (M, 3).  cell: (3, 3) A.  Returns |q| (M,) 1/A and S (A, M).
    """
    vectors = _vectors(indices, cell)
    q = np.linalg.norm(vectors, axis=-1)
    weights = np.array([[np.interp(q, lengths, row) for row in kind] for kind in amplitudes])  # (A, N, M)
    total = np.zeros((len(weights), len(q)))
    rows = max(1, LARGEST_CHUNK // max(1, weights.size))
    for start in range(0, len(positions), rows):
        phases = np.exp(1j * (positions[start : start + rows] @ vectors.T))  # (B, N, M)
        for total_of_kind, weight in zip(total, weights, strict=True):
            total_of_kind += (np.abs((weight * phases).sum(axis=1)) ** 2).sum(axis=0)
    return q, total / len(positions) / (weights**2).sum(axis=1)


def debye_structure_factor(positions: Array, amplitudes: Array, q: Array) -> Array:
    """S of free clusters, averaged over directions and structures: 1 + sum_{i != j} f_i f_j sin(q r)/(q r) / sum f^2.

    positions: (B, N, 3) A.  amplitudes: (A, N, K) of A kinds of radiation at q (K,) 1/A.  Returns (A, K).
    """
    i, j = np.triu_indices(positions.shape[1], 1)
    products = amplitudes[:, i] * amplitudes[:, j]  # (A, pairs, K)
    total = np.zeros(products.shape[::2])
    rows = max(1, LARGEST_CHUNK // max(1, products[0].size))
    for start in range(0, len(positions), rows):
        chosen = positions[start : start + rows]
        distance = np.linalg.norm(chosen[:, i] - chosen[:, j], axis=-1)
        total += (products * np.sinc(distance[..., None] * q / np.pi).sum(axis=0)).sum(axis=1)
    return np.asarray(1 + 2 * total / len(positions) / (amplitudes**2).sum(axis=1))


def _vectors(indices: Array, cell: Array) -> Array:
    return np.asarray(2 * np.pi * indices @ np.linalg.inv(cell).T)


def _entry(table: Mapping[str, Any], symbol: str, what: str) -> Any:
    if symbol not in table:
        raise BadSetting(f"no {what} of {symbol} is known", next="add it to renkei/analysis/scattering_tables.py with its source")
    return table[symbol]
