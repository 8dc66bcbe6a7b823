"""The two maps of force training in Triton: minibatches of structures whose geometry stays on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from kernels.arrays import Array
from kernels.descriptors.products import Geometry, Layout
from kernels.descriptors.triton_gpu import Edges, Measured, Plan, change, collected, edges, forces, plan_of_layout, pulled


@dataclass(frozen=True)
class TritonMaps:
    """The maps of one minibatch of A atoms."""

    plan: Plan
    near: Edges
    table: Measured
    sizes: Array  # (B,) atoms of each structure

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        return forces(self.plan, self.near, self.table, gradient.detach())

    def forces_and_virial(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the virial (B, 3, 3) eV."""
        work = self.plan, self.near, self.table
        found, parts = collected(*work, pulled(*work, gradient.detach()), True)
        total = torch.segment_reduce(parts.reshape(-1, 9), "sum", lengths=torch.from_numpy(self.sizes).to(parts.device))
        return found, total.reshape(-1, 3, 3)

    def change(self, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
        """J direction and that of a strain (B, 3, 3).  direction: (A, 3) A.  Returns (A, F)."""
        if strain is not None:
            strain = strain.detach()[torch.from_numpy(np.repeat(np.arange(len(self.sizes)), self.sizes)).to(strain.device)]
        return change(self.plan, self.near, self.table, direction.detach(), strain)


class TritonPool:
    """Pairs of many structures on a device; their precision, that of the pool, is that of the products."""

    def __init__(self, spots: Layout, pool: Geometry, device: str) -> None:
        self.starts, self.device = pool.starts, device
        owner = np.repeat(pool.starts[:-1, 0], np.diff(pool.starts[:, 1]))
        first, second = self._there(pool.first + owner), self._there(pool.second + owner)
        species = np.zeros(pool.starts[-1, 0], dtype=np.int64)  # an atom that nobody sees needs none
        species[pool.second + owner] = pool.species
        unit, distance, cut = (self._there(np.ascontiguousarray(column)) for column in (pool.unit, pool.distance, pool.cut))
        self.plan = plan_of_layout(spots, device, unit.dtype)
        self.near, order = edges(self.plan, first, second, distance >= spots.angular_cutoff_A, self._there(species))
        self.table = Measured(unit[order], distance[order], cut[order])

    def maps(self, chosen: Array) -> TritonMaps:
        """The maps of the chosen structures.  chosen: (B,) places in the pool."""
        sizes = np.diff(self.starts[:, :2], axis=0)[chosen]
        moved = self.starts[chosen, :2] - (np.cumsum(sizes, axis=0) - sizes)  # of atoms and pairs, from the minibatch to the pool
        atoms, pair_shift = self._rows(sizes[:, 0], moved[:, 0], moved[:, 1])
        pairs, atom_shift = self._rows(sizes[:, 1], moved[:, 1], moved[:, 0])
        pairs_again = torch.full((1,), int(sizes[:, 1].sum()), dtype=torch.int32, device=self.device)
        near, wide = self.near, pair_shift[:, None]
        chosen_near = Edges(
            near.begin[atoms] - wide,
            near.near[atoms] - wide,
            near.end[atoms] - wide,
            near.second[pairs] - atom_shift,
            torch.cat([near.incoming_begin[atoms] - pair_shift, pairs_again]),
            near.incoming[pairs] - self._repeated(sizes[:, 1], moved[:, 1]),
        )
        return TritonMaps(self.plan, chosen_near, Measured(*(column[pairs] for column in self.table)), sizes[:, 0])

    def _there(self, column: Array) -> torch.Tensor:
        return torch.from_numpy(column).to(self.device)

    def _repeated(self, sizes: Array, each: Array) -> torch.Tensor:
        """A number of each structure, for all its rows."""
        return self._there(np.repeat(each, sizes).astype(np.int32))

    def _rows(self, sizes: Array, moved: Array, other: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows in the pool of what a minibatch has in order, and another number of the rows' structures."""
        return self._there(np.arange(sizes.sum()) + np.repeat(moved, sizes)), self._repeated(sizes, other)
