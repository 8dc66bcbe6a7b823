"""Cell list in plain torch, for many structures at once on any device; few atoms are one bin, which makes it brute force."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from kernels.neighbors.base import Lattice, Pairs, lattice

ONE_BIN_ATOMS = 200  # up to here bins cost more than they save
AT_ONCE = 1 << 22  # candidates that are looked at together


class Found(NamedTuple):
    """Pairs of B structures of N atoms, sorted by first, second and image; atom n of structure b is b N + n."""

    first: torch.Tensor  # (M,) int64
    second: torch.Tensor  # (M,) int64
    shift: torch.Tensor  # (M, 3) int64, lattice vectors added to the second atom
    vector: torch.Tensor  # (M, 3) A, exactly opposite seen from the other end
    distance: torch.Tensor  # (M,) A


def pairs(positions: Array, cell: Array, pbc: Array, cutoff: float) -> Pairs:
    """Neighbours within the cut-off.

    positions: (N, 3) A, finite.  cell: (3, 3) A.  pbc: (3,) bool.  cutoff: A.  Raises ValueError if they are not finite.
    """
    places = torch.tensor(np.asarray(positions, dtype=np.float64)[None])
    if not places.isfinite().all():
        raise ValueError("positions are not finite")
    return Pairs(*(column.numpy() for column in batched(places, lattice(cell, pbc), cutoff)))


def batched(positions: torch.Tensor, box: Lattice, cutoff: float) -> Found:
    """Neighbours within the cut-off in each structure; those of one that is not finite are without meaning.

    positions: (B, N, 3) A.  cutoff: A.
    """
    device, kind = positions.device, positions.dtype
    vectors, inverse = (torch.as_tensor(matrix, device=device, dtype=kind) for matrix in (box.vectors, box.inverse))
    periodic = torch.as_tensor(box.periodic, device=device)
    fractional = (positions @ inverse).reshape(-1, 3)
    fractional = torch.where(fractional.isfinite(), fractional, 0.0)
    offset = torch.where(periodic, fractional.floor(), 0.0)
    wrapped = positions.reshape(-1, 3) - _cartesian(offset, vectors)
    fractional = fractional - offset
    low, width = _extent(fractional, periodic)
    bins, reach = _bins(positions.shape[1], box, width.tolist(), cutoff)
    table = _table(fractional, low, width, bins, positions.shape[1])
    offsets = torch.tensor(list(product(*(range(-r, r + 1) for r in reach))), device=device)
    parts = []
    rows = max(1, AT_ONCE // (len(offsets) * table.members.shape[1]))
    for begin in range(0, len(wrapped), rows):
        atoms = torch.arange(begin, min(begin + rows, len(wrapped)), device=device)
        parts.append(_near(atoms, wrapped, offset, vectors, periodic, offsets, table, cutoff))
    columns = [torch.cat(column) for column in zip(*parts, strict=True)] if parts else _nothing(wrapped)
    return _sorted(columns, len(wrapped))


class _Table(NamedTuple):
    """Atoms in bins."""

    bins: torch.Tensor  # (3,)
    where: torch.Tensor  # (A, 3) bin of an atom
    structure: torch.Tensor  # (A,)
    members: torch.Tensor  # (structures * bins, most) atoms, -1 for nobody


def _cartesian(shift: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """shift @ vectors, so that the opposite shift gives the opposite vector to the last bit."""
    return (shift[..., :1] * vectors[0] + shift[..., 1:2] * vectors[1]) + shift[..., 2:] * vectors[2]


def _extent(fractional: torch.Tensor, periodic: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower end and width of what the bins divide, (3,) each."""
    if not len(fractional):
        return torch.zeros(3), torch.ones(3)
    low = torch.where(periodic, 0.0, fractional.min(0).values)
    return low, torch.where(periodic, 1.0, fractional.max(0).values - low)


def _bins(atoms: int, box: Lattice, width: list[float], cutoff: float) -> tuple[list[int], list[int]]:
    """Number of bins along each axis, and how many bins away a neighbour can be."""
    most, edge = int((8 * atoms) ** (1 / 3)) + 1, cutoff * (1 + 1e-6)  # rounding must not push a neighbour out of reach
    bins, reach = [1, 1, 1], [0, 0, 0]
    for axis in range(3):
        extent = width[axis] * float(box.heights[axis])
        if atoms > ONE_BIN_ATOMS:
            bins[axis] = max(1, min(most, int(extent / edge)))
        if box.periodic[axis] or bins[axis] > 1:
            reach[axis] = int(np.ceil(edge * bins[axis] / extent))
    return bins, reach


def _table(fractional: torch.Tensor, low: torch.Tensor, width: torch.Tensor, bins: list[int], atoms: int) -> _Table:
    """Sort the atoms into bins."""
    device, count = fractional.device, torch.tensor(bins, device=fractional.device)
    where = ((fractional - low) / width.clamp_min(1e-300 if fractional.dtype == torch.float64 else 1e-30) * count).floor().long()
    where = where.clamp_min(0).minimum(count - 1)
    every = torch.arange(len(fractional), device=device)
    structure = every // max(atoms, 1)
    home = ((structure * bins[0] + where[:, 0]) * bins[1] + where[:, 1]) * bins[2] + where[:, 2]
    total = (len(fractional) // max(atoms, 1)) * bins[0] * bins[1] * bins[2]
    sizes = torch.bincount(home, minlength=total)
    order = torch.argsort(home, stable=True)
    rank = every - (torch.cumsum(sizes, 0) - sizes)[home[order]]
    members = torch.full((total, max(1, int(sizes.max()) if total else 1)), -1, device=device)
    members[home[order], rank] = order
    return _Table(count, where, structure, members)


def _near(
    atoms: torch.Tensor,
    wrapped: torch.Tensor,
    offset: torch.Tensor,
    vectors: torch.Tensor,
    periodic: torch.Tensor,
    offsets: torch.Tensor,
    table: _Table,
    cutoff: float,
) -> tuple[torch.Tensor, ...]:
    """The pairs of some atoms: first, second, shift, vector, distance, image."""
    place = table.where[atoms][:, None] + offsets  # (n, bins around, 3)
    image = torch.div(place, table.bins, rounding_mode="floor")
    local = place - image * table.bins
    number = ((table.structure[atoms][:, None] * table.bins[0] + local[..., 0]) * table.bins[1] + local[..., 1]) * table.bins[2]
    second = table.members[number + local[..., 2]]  # (n, bins around, most)
    open_side = ((image != 0) & ~periodic).any(-1)
    there = (second >= 0) & ~open_side[..., None]
    row, around, _ = there.nonzero(as_tuple=True)
    first, second, image = atoms[row], second[there], image[row, around]
    vector = (wrapped[second] - wrapped[first]) + _cartesian(image.to(wrapped.dtype), vectors)
    distance = torch.sqrt(vector[:, 0] ** 2 + vector[:, 1] ** 2 + vector[:, 2] ** 2)
    kept = (distance <= cutoff) & ((first != second) | (image != 0).any(1))
    first, second, image = first[kept], second[kept], image[kept]
    return first, second, image + (offset[first] - offset[second]).long(), vector[kept], distance[kept], image


def _nothing(wrapped: torch.Tensor) -> list[torch.Tensor]:
    """The columns of no pairs."""
    whole = torch.zeros(0, dtype=torch.int64, device=wrapped.device)
    rows = whole.reshape(0, 3)
    return [whole, whole, rows, wrapped.new_zeros((0, 3)), wrapped.new_zeros(0), rows]


def _sorted(columns: list[torch.Tensor], atoms: int) -> Found:
    """In an order that depends on the pairs alone: images of one pair have the order of its shifts, and smaller numbers."""
    first, second, *_, image = columns
    if len(first):
        low = image.min(0).values
        span, at = image.max(0).values - low + 1, image - low
        key = (first * atoms + second) * span[0] + at[:, 0]
        order = torch.argsort((key * span[1] + at[:, 1]) * span[2] + at[:, 2])
        columns = [column[order] for column in columns]
    return Found(*columns[:5])
