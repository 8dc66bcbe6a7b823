"""Molecular dynamics of a Behler-Parrinello potential without leaving the GPU.

The list of neighbours reaches a skin further than the potential and is kept while no atom has moved by half of it; its tables
have room to spare, so a step is always the same calls on the same memory and becomes a CUDA graph. A stretch of steps in which an
atom went too far is undone and repeated with a new list, and then in shorter stretches: no step is taken with a list too old.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from kernels.baseline import Baseline
from kernels.descriptors import triton_gpu
from kernels.descriptors.base import kinds
from kernels.neighbors.base import lattice
from kernels.neighbors.torch_device import batched
from kernels.network import HEIGHT, STEEPNESS, TWIST
from kernels.potentials.bpnn import BpnnModel
from kernels.units import AMU_EV_FS2_PER_A2

STRETCH = 10  # steps between two looks at how far the atoms have moved
ROOM = 1.2  # of the tables, times what they need


class _List(NamedTuple):
    """Tables of a list; rows after the last pair are never read."""

    near: triton_gpu.Edges
    first: torch.Tensor  # (room,) int64
    second: torch.Tensor  # (room,) int64
    offset: torch.Tensor  # (room, 3) A, of the second atom's image


class DeviceBpnn:
    """Energies and forces of B structures of N atoms on a device.

    geometry: precision of places, vectors and cut-offs; products: that of the sums over neighbours and of the networks. Energies
    and virials are added in double precision.
    """

    def __init__(
        self,
        model: BpnnModel,
        numbers: Array,
        cell: Array,
        pbc: Array,
        device: str,
        geometry: torch.dtype = torch.float64,
        products: torch.dtype = torch.float32,
        skin_A: float = 0.6,
    ) -> None:
        """numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.

        Raises ValueError for species that the model does not know, and for a model with charges.
        """
        if model.charges is not None:
            raise ValueError("the loops on a device have no Coulomb sums for this model's charges")
        species = kinds(model.descriptor, numbers)
        self.model, self.box, self.geometry, self.skin_A = model, lattice(cell, pbc), geometry, skin_A
        self.plan = triton_gpu.plan_of(model.descriptor, device, products)
        self.species = torch.tensor(species, dtype=torch.int32, device=device)
        self.cell = torch.tensor(self.box.vectors, dtype=geometry, device=device)
        self.reference_eV = float(np.asarray(model.reference_eV)[species].sum())
        self.networks = [_Network(model, place, products, device) for place in range(len(model.descriptor.species))]
        self.list: _List | None = None
        self.made_at = torch.zeros(0)  # (B, N, 3) A, where the atoms were when the list was made
        self.baseline = model.baseline and _Walls(model.baseline, geometry, device)

    def renew(self, positions: torch.Tensor) -> bool:
        """Make the list for these places (B, N, 3) A; whether it lies in new memory."""
        found = batched(positions, self.box, self.plan.radial_cutoff_A + self.skin_A)
        if self.made_at.shape != positions.shape:
            self.list, self.made_at, self.all_species = None, positions.clone(), self.species.repeat(len(positions))
            self.order = [torch.nonzero(self.all_species == place, as_tuple=True)[0] for place in range(len(self.networks))]
        far = found.distance >= self.plan.angular_cutoff_A + self.skin_A
        near, order = triton_gpu.edges(self.plan, found.first, found.second, far, self.all_species)
        offset = found.shift[order].to(self.geometry) @ self.cell
        new = _List(near, found.first[order], found.second[order], offset)
        self.made_at.copy_(positions)
        moved = self.list is None or len(self.list.first) < len(order)
        if moved:
            self.list = _with_room(new, int(ROOM * len(order)) + 1, self.plan.radial_cutoff_A)
        assert self.list is not None
        for kept, fresh in zip(_columns(self.list), _columns(new), strict=True):
            kept[: len(fresh)] = fresh
        return moved

    def evaluate(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies (B,) eV and forces (B, N, 3) eV/A with the list as it is.  positions: (B, N, 3) A."""
        assert self.list is not None, "renew makes the list"
        flat, (near, first, second, offset) = positions.reshape(-1, 3), self.list
        vector = (flat[second] - flat[first]) + offset
        table = triton_gpu.measured(self.plan, near, vector, self.all_species)
        features = triton_gpu.features(self.plan, near, table)
        energy, gradient = torch.empty_like(features[:, 0]), torch.empty_like(features)
        for network, rows in zip(self.networks, self.order, strict=True):
            energy[rows], gradient[rows] = network(features[rows])
        by = triton_gpu.pulled(self.plan, near, table, gradient)
        total = energy.double().reshape(len(positions), -1).sum(1)
        if self.baseline is not None:
            pair_energy, slope = self.baseline(vector, self.all_species[first], self.all_species[second])
            by = by + slope.to(by.dtype)
            ends = near.end[:, -1].long().reshape(len(positions), -1)[:, -1]  # the pairs of a structure follow one another
            sums = torch.cat([pair_energy.new_zeros(1), torch.cumsum(pair_energy, 0)])[ends]
            total = total + torch.diff(sums, prepend=sums.new_zeros(1))
        forces, _ = triton_gpu.collected(self.plan, near, table, by, False)
        return total + self.reference_eV, forces.to(self.geometry).reshape(positions.shape)


def _columns(tables: _List) -> tuple[torch.Tensor, ...]:
    return (*tables.near, *tables[1:])


def _with_room(new: _List, room: int, apart_A: float) -> _List:
    """Tables with so many rows for pairs, filled with pairs that are too far apart to matter."""

    def longer(column: torch.Tensor, filling: float) -> torch.Tensor:
        return column.new_full((room, *column.shape[1:]), filling)

    near = new.near._replace(second=longer(new.near.second, 0), incoming=longer(new.near.incoming, 0))
    return _List(near, longer(new.first, 0), longer(new.second, 0), longer(new.offset, apart_A))


class _Network:
    """The network of one species."""

    def __init__(self, model: BpnnModel, place: int, dtype: torch.dtype, device: str) -> None:
        def there(array: Array) -> torch.Tensor:
            return torch.tensor(np.asarray(array), dtype=dtype, device=device)

        self.mean, self.scale, self.activation = there(model.mean[place]), there(model.scale[place]), model.activation
        scale = model.energy_scale_eV
        stack = [*model.layers[place][:-1], tuple(scale * part for part in model.layers[place][-1])]
        self.layers = [(there(matrix), there(bias)) for matrix, bias in stack]

    def __call__(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Energies (n,) eV and their derivatives by the features (n, F)."""
        nodes, slopes = (features - self.mean) * self.scale, []
        for matrix, bias in self.layers[:-1]:
            nodes, slope = _activated(self.activation, torch.addmm(bias, nodes, matrix.t()))
            slopes.append(slope)
        matrix, bias = self.layers[-1]
        energy, gradient = torch.addmm(bias, nodes, matrix.t())[:, 0], matrix.expand(len(features), -1)
        for (weights, _), slope in zip(reversed(self.layers[:-1]), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ weights
        return energy, gradient * self.scale


def _activated(name: str, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and slopes of a layer's sums."""
    if name == "linear":
        return sums, torch.ones_like(sums)
    if name == "sigmoid":
        t = torch.sigmoid(sums)
        return t, t * (1 - t)
    height, rate, tilt = (1.0, 1.0, 0.0) if name == "tanh" else (HEIGHT, STEEPNESS, TWIST if name == "twist" else 0.0)
    t = torch.tanh(rate * sums)
    return height * t + tilt * sums, height * rate * (1 - t * t) + tilt


class _Walls:
    """The two-body energy below the networks."""

    def __init__(self, baseline: Baseline, dtype: torch.dtype, device: str) -> None:
        self.repulsion = torch.tensor(baseline.repulsion, dtype=dtype, device=device)
        self.attraction = torch.tensor(baseline.attraction, dtype=dtype, device=device)
        self.half = 0.5 * baseline.cutoff_A

    def __call__(self, vector: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Half of each pair's energy (M,) eV, and its derivative by the vector (M, 3).  first, second: (M,) species."""
        repulsion, attraction = self.repulsion[first, second], self.attraction[first, second]
        distance = vector.square().sum(1).sqrt()
        u = ((distance - self.half) / self.half).clamp(0, 1)
        switch, fall = 1 + u**3 * (u * (15 - 6 * u) - 10), -30 * (u * (u - 1)) ** 2 / self.half
        sixth = distance**-6
        bare, slope = (repulsion * sixth - attraction) * sixth, (6 * attraction - 12 * repulsion * sixth) * sixth / distance
        along = 0.5 * (slope * switch + bare * fall)
        return 0.5 * (bare * switch).double(), (along / distance)[:, None] * vector


class Dynamics:
    """Velocity Verlet at constant energy of B structures."""

    def __init__(
        self, potential: DeviceBpnn, positions: Array, velocities: Array, masses_amu: Array, timestep_fs: float, graph: bool
    ) -> None:
        """positions: (B, N, 3) A.  velocities: (B, N, 3) A/fs.  masses_amu: (N,).  graph: as a CUDA graph, on a CUDA device."""
        device, kind = potential.cell.device, potential.geometry
        self.potential, self.timestep_fs, self.graph = potential, timestep_fs, graph
        self.positions = torch.tensor(positions, dtype=kind, device=device)
        self.velocities = torch.tensor(velocities, dtype=kind, device=device)
        masses = torch.tensor(np.asarray(masses_amu) * AMU_EV_FS2_PER_A2, dtype=kind, device=device)
        self.kick = 0.5 * timestep_fs / masses[:, None]
        self.farthest = torch.zeros((), dtype=kind, device=device)  # square, A^2, since the list was made
        potential.renew(self.positions)
        self.energy, self.forces = (part.clone() for part in potential.evaluate(self.positions))
        self._step: Callable[[], None] | None = None

    def run(self, steps: int) -> None:
        """So many steps.  Raises ArithmeticError if an atom goes further than half the skin in one, or to nowhere."""
        done, stretch, limit = 0, STRETCH, (0.5 * self.potential.skin_A) ** 2
        while done < steps:
            kept, count = [part.clone() for part in self._state()], min(stretch, steps - done)
            for _ in range(count):
                self._stepper()()
            away = float(self.farthest)
            if away <= limit:
                done, stretch = done + count, STRETCH
                if away > 0.5 * limit:
                    self._renew()
                continue
            for part, before in zip(self._state(), kept, strict=True):
                part.copy_(before)
            if torch.equal(self.potential.made_at, self.positions):  # the list was as new as can be
                if count == 1:
                    raise ArithmeticError(
                        f"an atom moved by more than {0.5 * self.potential.skin_A} A in one step, or to nowhere"
                    )
                stretch = count // 2
            self._renew()

    def _renew(self) -> None:
        """A new list for where the atoms are."""
        if self.potential.renew(self.positions):
            self._step = None
        self.farthest.zero_()

    def total_eV(self) -> torch.Tensor:
        """Kinetic and potential energy of each structure, (B,) eV."""
        kinetic = (self.velocities.double() ** 2 * (0.25 * self.timestep_fs / self.kick.double())).sum((1, 2))
        return self.energy + kinetic

    def _state(self) -> tuple[torch.Tensor, ...]:
        return self.positions, self.velocities, self.forces, self.energy

    def _once(self) -> None:
        """One step, in place."""
        self.velocities.add_(self.kick * self.forces)
        self.positions.add_(self.velocities, alpha=self.timestep_fs)
        energy, forces = self.potential.evaluate(self.positions)
        self.energy.copy_(energy)
        self.forces.copy_(forces)
        self.velocities.add_(self.kick * self.forces)
        away = (self.positions - self.potential.made_at).square().sum(-1).max()
        self.farthest.copy_(torch.maximum(self.farthest, away))

    def _stepper(self) -> Callable[[], None]:
        """One step, or the graph of one; captured anew when the tables have moved."""
        if self._step is None:
            self._step = self._captured() if self.graph else self._once
        return self._step

    def _captured(self) -> Callable[[], None]:
        """The graph of a step. Warming up takes steps, which are undone."""
        kept = [part.clone() for part in (*self._state(), self.farthest)]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._once()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._once()
        for part, before in zip((*self._state(), self.farthest), kept, strict=True):
            part.copy_(before)
        return graph.replay
