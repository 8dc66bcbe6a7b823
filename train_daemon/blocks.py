"""Pieces of torch that learners of atomic energies share: the force product and small networks with their own gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch

from kernels.arrays import Array
from kernels.descriptors.products import Geometry, Layout, part, pull_back, push_forward
from train_daemon.activations import differentiable

Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]  # [(W (out, in), b (out,)), ...]


class Maps(Protocol):
    """The two linear maps of one minibatch of A atoms."""

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        ...

    def change(self, direction: torch.Tensor) -> torch.Tensor:
        """J direction.  direction: (A, 3) A.  Returns (A, F)."""
        ...


@dataclass(frozen=True)
class CpuMaps:
    """The maps in compiled loops on the CPU."""

    spots: Layout
    pool: Geometry
    chosen: Array  # (B,) places in the pool

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
        return torch.from_numpy(pull_back(self.spots, self.pool, self.chosen, gradient.detach().contiguous().numpy()))

    def change(self, direction: torch.Tensor) -> torch.Tensor:
        """J direction.  direction: (A, 3) A.  Returns (A, F)."""
        return torch.from_numpy(push_forward(self.spots, self.pool, self.chosen, direction.detach().contiguous().numpy()))


@dataclass(frozen=True)
class DeviceMaps:
    """The maps in plain torch, on any device."""

    pairs: dict[str, torch.Tensor]  # first, second, at (M,); unit (M, 3); distance (M,); series, slopes (M, radial terms)
    triplets: dict[str, torch.Tensor]  # left, right (T,); at (T, K); cosine (T,); series, slopes (T, angular terms); cuts (T, K)
    atoms: int
    length: int

    def forces(self, gradient: torch.Tensor) -> torch.Tensor:
        """-J^T gradient.  gradient: (A, F) eV.  Returns (A, 3) eV/A."""
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
        zeros = torch.zeros((self.atoms, 3), dtype=flat.dtype, device=flat.device)
        return zeros.index_add(0, p["first"], on_pair).index_add(0, p["second"], -on_pair)

    def change(self, direction: torch.Tensor) -> torch.Tensor:
        """J direction.  direction: (A, 3) A.  Returns (A, F)."""
        p, t = self.pairs, self.triplets
        moves = direction[p["second"]] - direction[p["first"]]
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
        return DeviceMaps(pairs, triplets, int(sizes[:, 0].sum()), spots.length)

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
        return -ChangeProduct.apply(upstream[0], ctx.maps), None


class ChangeProduct(torch.autograd.Function):
    """Displacements -> change of the features: minus the transpose of ForceProduct, and each is the other's backward pass."""

    @staticmethod
    def forward(ctx: Any, direction: torch.Tensor, maps: Maps) -> torch.Tensor:
        """direction: (A, 3) A. Returns (A, F)."""
        ctx.maps = maps
        return maps.change(direction)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None]:
        """upstream: (A, F), derivative with respect to the change. Returns (A, 3)."""
        return -ForceProduct.apply(upstream[0], ctx.maps), None


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
