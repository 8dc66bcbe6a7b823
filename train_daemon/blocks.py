"""Pieces of torch that learners of atomic energies share: the force product and small networks with their own gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch

from kernels.arrays import Array
from kernels.descriptors.product_loops import pull_back, push_forward
from kernels.descriptors.products import Geometry, Layout, part
from train_daemon.activations import differentiable

Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]  # [(W (out, in), b (out,)), ...]


class Maps(Protocol):
    """The two linear maps of one minibatch of A atoms."""

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        ...

    def forces_and_virial(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the virial of each structure as kernels/descriptors/base.py has it, (B, 3, 3) eV."""
        ...

    def change(self, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
        """J direction.  direction: (A, 3) A.  Returns (A, F).

        strain: (B, 3, 3); each vector between two atoms moves by its structure's strain times itself, too.
        """
        ...


@dataclass(frozen=True)
class CpuMaps:
    """The maps in compiled loops on the CPU."""

    spots: Layout
    pool: Geometry
    chosen: Array  # (B,) places in the pool

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        return self._pulled(gradient, False)[0]

    def forces_and_virial(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the virial (B, 3, 3) eV."""
        return self._pulled(gradient, True)

    def _pulled(self, gradient: torch.Tensor, with_virial: bool) -> tuple[torch.Tensor, torch.Tensor]:
        found = pull_back(self.spots, self.pool, self.chosen, gradient.detach().contiguous().numpy(), with_virial)
        return torch.from_numpy(found[0]), torch.from_numpy(found[1])

    def change(self, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
        """J direction and that of a strain (B, 3, 3).  direction: (A, 3) A.  Returns (A, F)."""
        if strain is None:
            strain = direction.new_empty((0, 3, 3))
        given = (part.detach().contiguous().numpy() for part in (direction, strain))
        return torch.from_numpy(push_forward(self.spots, self.pool, self.chosen, *given))


@dataclass(frozen=True)
class DeviceMaps:
    """The maps in plain torch, on any device."""

    pairs: dict[str, torch.Tensor]  # first, second, at, owner (M,); unit (M, 3); distance (M,); series, slopes (M, radial terms)
    triplets: dict[str, torch.Tensor]  # left, right (T,); at (T, K); cosine (T,); series, slopes (T, angular terms); cuts (T, K)
    structures: int
    atoms: int
    length: int

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        return self._forces(self._by_vectors(gradient))

    def forces_and_virial(self, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the virial (B, 3, 3) eV."""
        p, on_pair = self.pairs, self._by_vectors(gradient)
        virial = on_pair.new_zeros((self.structures, 3, 3))
        outer = self._vectors()[:, :, None] * on_pair[:, None, :]
        return self._forces(on_pair), virial.index_add(0, p["owner"], outer, alpha=-1)

    def _vectors(self) -> torch.Tensor:
        return self.pairs["unit"] * self.pairs["distance"][:, None]

    def _forces(self, on_pair: torch.Tensor) -> torch.Tensor:
        zeros = on_pair.new_zeros((self.atoms, 3))
        return zeros.index_add(0, self.pairs["first"], on_pair).index_add(0, self.pairs["second"], -on_pair)

    def _by_vectors(self, gradient: torch.Tensor) -> torch.Tensor:
        """Derivative of the energy by the vector of each pair, (M, 3) eV/A."""
        p, t, flat = self.pairs, self.triplets, gradient.reshape(-1)
        terms = torch.arange(p["slopes"].shape[1], device=flat.device)
        rows = flat[(p["first"] * self.length + p["at"])[:, None] + terms]
        on_pair = (rows * p["slopes"]).sum(1, keepdim=True) * p["unit"]
        angles = torch.arange(t["series"].shape[1], device=flat.device)
        series = flat[(p["first"][t["left"]] * self.length)[:, None, None] + t["at"][:, :, None] + angles]
        total, twist = (series * t["series"][:, None]).sum(2), (series * t["slopes"][:, None]).sum(2)
        by_angle = (t["both"] * twist).sum(1, keepdim=True)
        for side, other, slope in (("left", "right", "left_slope"), ("right", "left", "right_slope")):
            mine, theirs = p["unit"][t[side]], p["unit"][t[other]]
            bend = (theirs - t["cosine"][:, None] * mine) / p["distance"][t[side]][:, None]
            on_pair = on_pair.index_add(0, t[side], by_angle * bend + (t[slope] * total).sum(1, keepdim=True) * mine)
        return on_pair

    def change(self, direction: torch.Tensor, strain: torch.Tensor | None = None) -> torch.Tensor:
        """J direction and that of a strain (B, 3, 3).  direction: (A, 3) A.  Returns (A, F)."""
        p, t = self.pairs, self.triplets
        moves = direction[p["second"]] - direction[p["first"]]
        if strain is not None:
            moves = moves + (strain[p["owner"]] * self._vectors()[:, None, :]).sum(2)
        longer = (moves * p["unit"]).sum(1)
        flat = torch.zeros(self.atoms * self.length, dtype=direction.dtype, device=direction.device)
        terms = torch.arange(p["slopes"].shape[1], device=flat.device)
        spots = (p["first"] * self.length + p["at"])[:, None] + terms
        flat = flat.index_add(0, spots.reshape(-1), (longer[:, None] * p["slopes"]).reshape(-1))
        opening = torch.zeros_like(t["cosine"])
        for side, other in (("left", "right"), ("right", "left")):
            bend = (p["unit"][t[other]] - t["cosine"][:, None] * p["unit"][t[side]]) / p["distance"][t[side]][:, None]
            opening = opening + (bend * moves[t[side]]).sum(1)
        by_cut = t["left_slope"] * longer[t["left"]][:, None] + t["right_slope"] * longer[t["right"]][:, None]
        rise = by_cut[:, :, None] * t["series"][:, None] + (t["both"] * opening[:, None])[:, :, None] * t["slopes"][:, None]
        angles = torch.arange(t["series"].shape[1], device=flat.device)
        spots = (p["first"][t["left"]] * self.length)[:, None, None] + t["at"][:, :, None] + angles
        return flat.index_add(0, spots.reshape(-1), rise.reshape(-1)).reshape(self.atoms, self.length)


def in_triton(device: str) -> bool:
    """Whether the maps of a device are the loops of Triton: on a CUDA device, if triton is installed."""
    return torch.device(device).type == "cuda" and find_spec("triton") is not None


class DevicePool:
    """Geometry of many structures on a device, from which minibatches are cut: for loops in Triton where `in_triton` says so.

    Where it has no room there (not resident), that of each minibatch is brought when it is wanted.
    """

    def __init__(self, spots: Layout, pool: Geometry, device: str, resident: bool = True) -> None:
        self.maps: Callable[[Array], Maps]
        if not resident:
            self.maps = lambda chosen: DevicePool(spots, part(pool, chosen), device).maps(np.arange(len(chosen)))
        elif in_triton(device) and not spots.splines:
            from train_daemon.triton_maps import TritonPool

            self.maps = TritonPool(spots, pool, device).maps
        else:
            self.maps = PlainPool(spots, pool, device).maps


class PlainPool:
    """Geometry of many structures as tensors on a device, from which minibatches are cut for plain torch."""

    def __init__(self, spots: Layout, pool: Geometry, device: str) -> None:
        self.spots, self.starts, self.device = spots, pool.starts, device
        self.columns = {
            name: torch.from_numpy(np.ascontiguousarray(column)).to(device)
            for name, column in zip(Geometry._fields[1:], pool[1:], strict=True)
        }
        self.radial = torch.from_numpy(spots.radial).to(device)
        self.angular = torch.from_numpy(spots.angular).to(device)

    def maps(self, chosen: Array) -> DeviceMaps:
        """The maps of the chosen structures.  chosen: (B,) places in the pool."""
        sizes = np.diff(self.starts, axis=0)[chosen]
        base = np.cumsum(sizes, axis=0) - sizes
        pair, shift = self._rows(chosen, sizes, base, 1)
        triplet, pair_shift = self._rows(chosen, sizes, base, 2)
        c, spots = self.columns, self.spots
        atom, pair_base = torch.from_numpy(base[:, 0]).to(self.device), torch.from_numpy(base[:, 1]).to(self.device)
        distance, species, cut = c["distance"][pair], c["species"][pair].long(), c["cut"][pair]
        seen, series, slopes = _series(spots.splines, 2 * distance / spots.radial_cutoff_A - 1, spots.radial_order)
        pairs = {
            "first": c["first"][pair] + atom[shift],
            "second": c["second"][pair] + atom[shift],
            "at": self.radial[species] + seen,
            "owner": shift,
            "unit": c["unit"][pair],
            "distance": distance,
            "slopes": cut[:, 1:2] * series + cut[:, 0:1] * (2 / spots.radial_cutoff_A) * slopes,
        }
        left, right = c["left"][triplet] + pair_base[pair_shift], c["right"][triplet] + pair_base[pair_shift]
        seen, series, slopes = _series(spots.splines, c["cosine"][triplet], spots.angular_order)
        f, g = cut[left, 2:], cut[right, 2:]
        triplets = {
            "left": left,
            "right": right,
            "at": self.angular[species[left], species[right]] + seen[:, None],
            "cosine": c["cosine"][triplet],
            "series": series,
            "slopes": slopes,
            "both": f[:, 0::2] * g[:, 0::2],
            "left_slope": f[:, 1::2] * g[:, 0::2],
            "right_slope": f[:, 0::2] * g[:, 1::2],
        }
        return DeviceMaps(pairs, triplets, len(chosen), int(sizes[:, 0].sum()), spots.length)

    def _rows(self, chosen: Array, sizes: Array, base: Array, kind: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of a column for the chosen structures, and the place in the minibatch of each row's structure."""
        owner = np.repeat(np.arange(len(chosen)), sizes[:, kind])
        rows = np.arange(len(owner)) + (self.starts[chosen, kind] - base[:, kind])[owner]
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(owner).to(self.device)


def _series(splines: bool, x: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The functions that points see: place of the first one (M,), values and derivatives, (M, functions) each.  x: (M,)."""
    if not splines:
        return torch.zeros_like(x, dtype=torch.int64), *_chebyshev(x, order)
    at, rate = (0.5 * (order - 2)) * (x + 1), 0.5 * (order - 2)
    first = at.long().clamp(0, order - 3)
    t = at - first
    s = 1 - t
    values = s**3 / 6, 2 / 3 - t * t * (1 - t / 2), 2 / 3 - s * s * (1 - s / 2), t**3 / 6
    slopes = -s * s / 2, t * (1.5 * t - 2), s * (2 - 1.5 * s), t * t / 2
    return first, torch.stack(values, 1), rate * torch.stack(slopes, 1)


def _chebyshev(x: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Polynomials up to an order and their derivatives.  x: (M,).  Returns (M, order + 1) twice."""
    value, slope = [torch.ones_like(x), x], [torch.zeros_like(x), torch.ones_like(x)]
    for _ in range(2, order + 1):
        slope.append(2 * value[-1] + 2 * x * slope[-1] - slope[-2])
        value.append(2 * x * value[-1] - value[-2])
    return torch.stack(value[: order + 1], 1), torch.stack(slope[: order + 1], 1)


class ForceProduct(torch.autograd.Function):
    """dE/dG -> forces. The map is linear, so its backward pass is the other product and holds no Jacobian."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, maps: Maps) -> torch.Tensor:
        """gradient: (A, F) eV. Returns (A, 3) eV/A."""
        ctx.maps = maps
        return maps.forces(gradient)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        """upstream: (A, 3), derivative of the loss with respect to the forces. Returns (A, F)."""
        return -ChangeProduct.apply(upstream[0], None, ctx.maps), None


class VirialProduct(torch.autograd.Function):
    """dE/dG -> forces and virial."""

    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, maps: Maps) -> tuple[torch.Tensor, torch.Tensor]:
        """gradient: (A, F) eV. Returns (A, 3) eV/A and (B, 3, 3) eV."""
        ctx.maps = maps
        return maps.forces_and_virial(gradient)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        """upstream: (A, 3) and (B, 3, 3), derivatives of the loss. Returns (A, F)."""
        return -ChangeProduct.apply(*upstream, ctx.maps), None


class ChangeProduct(torch.autograd.Function):
    """Displacements, and strains if there are some -> change of the features.

    Minus the transpose of ForceProduct, or of VirialProduct (features do not see a rotation, so the virial is symmetric, and the
    antisymmetric part of a strain changes nothing); each is the other's backward pass.
    """

    @staticmethod
    def forward(ctx: Any, direction: torch.Tensor, strain: torch.Tensor | None, maps: Maps) -> torch.Tensor:
        """direction: (A, 3) A. strain: (B, 3, 3). Returns (A, F)."""
        ctx.maps, ctx.strained = maps, strain is not None
        return maps.change(direction, strain)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """upstream: (A, F), derivative with respect to the change. Returns (A, 3) and (B, 3, 3)."""
        if not ctx.strained:
            return -ForceProduct.apply(upstream[0], ctx.maps), None, None
        forces, virial = VirialProduct.apply(upstream[0], ctx.maps)
        return -forces, -virial, None


def network(layers: Layers, activation: str, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies of atoms and their gradient, both differentiable by the weights.

    inputs: (A, F).  activation: a name of activations.py; the last layer is linear.  Returns (A,) and (A, F).
    """
    hidden, slopes = inputs, []
    for weights, bias in layers[:-1]:
        hidden = torch.addmm(bias, hidden, weights.t())
        hidden, slope = differentiable(activation, hidden)
        slopes.append(slope)
    weights, bias = layers[-1]
    energy = torch.addmm(bias, hidden, weights.t())[:, 0]
    gradient = weights.expand(len(inputs), -1)
    for (weights, _), slope in zip(reversed(layers[:-1]), reversed(slopes), strict=True):
        gradient = (gradient * slope) @ weights
    return energy, gradient
