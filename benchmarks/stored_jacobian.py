"""The other way to train on forces, for comparison: the descriptor's derivatives are computed once and stored.

As aenet-PyTorch does, features and their derivatives by the positions of all neighbours are kept for every atom. A step evaluates
the networks, takes dE/dG by autograd, contracts it with the stored derivatives to forces, and differentiates the loss once more.
That an atom's features do not change when all move together saves the derivatives by its own position. Minibatches are put
together once and come in a new order in each epoch, so that nothing is copied in a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs
from kernels.potentials.bpnn import BpnnModel
from protocol.records import Structure
from train_daemon.blocks import Layers
from train_daemon.dataset import Sample


class Derivatives(NamedTuple):
    """M neighbours of the atoms of one structure, sorted by the atom."""

    first: torch.Tensor  # (M,) the atom whose features change
    second: torch.Tensor  # (M,) the neighbour that moves
    slopes: torch.Tensor  # (M, 3, F) d G_first / d r_second, 1/A


class Batch(NamedTuple):
    """B structures with A atoms in all, in units of the energy scale; K neighbours are the most of an atom."""

    inputs: torch.Tensor  # (A, F) standardised features
    places: tuple[torch.Tensor, ...]  # per species its atoms
    owner: torch.Tensor  # (A,) structure of an atom
    slopes: torch.Tensor  # (A, 3 K, F) d inputs / d positions, 1/A; 0 beyond an atom's last neighbour
    neighbor: torch.Tensor  # (A, K) atoms
    energies: torch.Tensor  # (B,) without the reference energies
    forces: torch.Tensor  # (A, 3) 1/A
    sizes: torch.Tensor  # (B,) number of atoms


def derivatives(descriptor: Chebyshev, structure: Structure, merged: bool = False) -> Derivatives:
    """Derivatives of the features by the neighbours' positions, in float64.

    merged: one row for all images of a neighbour, as many at most as there are atoms; else a row for each, as aenet has it.
    """
    spots, places = products.layout(descriptor), kinds(descriptor, structure.numbers)
    found = pairs(structure.positions, structure.cell, structure.pbc, descriptor.radial_cutoff_A)
    near = (found.first, found.second, found.vector, found.distance)
    geometry = products.geometry(spots, near, places, np.float64)
    slopes = torch.cat([_radial(spots, geometry), _angular(spots, geometry)], 2)
    if descriptor.family == "species_weighted":
        slopes = slopes @ torch.from_numpy(products.mixing(descriptor).T)
    first, second = (torch.from_numpy(column.astype(np.int64)) for column in (geometry.first, geometry.second))
    if merged:
        keys, where = torch.unique(first * len(places) + second, return_inverse=True)
        slopes = slopes.new_zeros((len(keys), *slopes.shape[1:])).index_add(0, where, slopes)
        first, second = keys // len(places), keys % len(places)
    return Derivatives(first, second, slopes)


def _radial(spots: products.Layout, g: products.Geometry) -> torch.Tensor:
    """(M, 3, radial features)."""
    terms = spots.radial_order + 1
    series, slopes = _chebyshev(2 * g.distance / spots.radial_cutoff_A - 1, spots.radial_order)
    rise = g.cut[:, 1:2] * series + g.cut[:, 0:1] * (2 / spots.radial_cutoff_A) * slopes
    result = np.zeros((len(g.first), 3, len(spots.radial), terms))
    result[np.arange(len(g.first)), :, g.species] = rise[:, None] * g.unit[:, :, None]
    return torch.from_numpy(result.reshape(len(g.first), 3, -1))


def _angular(spots: products.Layout, g: products.Geometry) -> torch.Tensor:
    """(M, 3, angular features)."""
    terms, before = spots.angular_order + 1, len(spots.radial) * (spots.radial_order + 1)
    blocks = (spots.length - before) // terms
    series, slopes = _chebyshev(g.cosine, spots.angular_order)
    result = torch.zeros((len(g.first) * blocks, 3 * terms), dtype=torch.float64)
    for mine, other in ((g.left, g.right), (g.right, g.left)):
        bend = (g.unit[other] - g.cosine[:, None] * g.unit[mine]) / g.distance[mine][:, None]
        for power in range(len(spots.powers)):
            (value, slope), theirs = g.cut[mine, 2 + 2 * power : 4 + 2 * power].T, g.cut[other, 2 + 2 * power]
            stretch, turn = (slope * theirs)[:, None] * g.unit[mine], (value * theirs)[:, None] * bend
            rows = stretch[:, :, None] * series[:, None] + turn[:, :, None] * slopes[:, None]
            block = (spots.angular[g.species[mine], g.species[other], power] - before) // terms
            result.index_add_(0, torch.from_numpy(mine * blocks + block), torch.from_numpy(rows.reshape(len(rows), -1)))
    return result.view(len(g.first), blocks, 3, terms).transpose(1, 2).reshape(len(g.first), 3, -1)


def _chebyshev(x: Array, order: int) -> tuple[Array, Array]:
    """Polynomials up to an order and their derivatives.  x: (M,).  Returns (M, order + 1) twice."""
    value, slope = [np.ones_like(x), x], [np.zeros_like(x), np.ones_like(x)]
    for _ in range(2, order + 1):
        slope.append(2 * value[-1] + 2 * x * slope[-1] - slope[-2])
        value.append(2 * x * value[-1] - value[-2])
    return np.stack(value[: order + 1], 1), np.stack(slope[: order + 1], 1)


def batch(
    model: BpnnModel,
    samples: Sequence[Sample],
    features: Sequence[Array],
    stored: Sequence[Derivatives],
    dtype: torch.dtype = torch.float32,
) -> Batch:
    """Put a minibatch together.  model: whose normalisation and units are used.  features: of each structure (N, F)."""
    species = np.concatenate([kinds(model.descriptor, sample.structure.numbers) for sample in samples])
    sizes = np.array([len(sample.forces) for sample in samples])
    owner, begin = np.repeat(np.arange(len(samples)), sizes), np.cumsum(sizes) - sizes
    first = torch.cat([one.first + int(at) for one, at in zip(stored, begin, strict=True)])
    second = torch.cat([one.second + int(at) for one, at in zip(stored, begin, strict=True)])
    count = torch.bincount(first, minlength=len(owner))
    column = torch.arange(len(first)) - (torch.cumsum(count, 0) - count)[first]
    most, length = int(count.max()), model.descriptor.length
    slopes, neighbor = torch.zeros((len(owner), most, 3, length), dtype=dtype), torch.zeros((len(owner), most), dtype=torch.int64)
    neighbor[first, column] = second
    scale = torch.from_numpy(model.scale[species])
    at = 0
    for one in stored:
        here = slice(at, at + len(one.first))
        slopes[first[here], column[here]] = (one.slopes * scale[first[here], None]).to(dtype)
        at = here.stop
    composition = np.stack([np.bincount(species[owner == k], minlength=len(model.reference_eV)) for k in range(len(samples))])
    energies = np.array([sample.energy for sample in samples]) - composition @ model.reference_eV
    forces = np.concatenate([sample.forces for sample in samples])
    return Batch(
        torch.from_numpy((np.concatenate(list(features)) - model.mean[species]) * model.scale[species]).to(dtype),
        tuple(torch.from_numpy(np.flatnonzero(species == kind)) for kind in range(len(model.layers))),
        torch.from_numpy(owner),
        slopes.view(len(owner), 3 * most, length),
        neighbor,
        torch.from_numpy(energies / model.energy_scale_eV).to(dtype),
        torch.from_numpy(forces / model.energy_scale_eV).to(dtype),
        torch.from_numpy(sizes).to(dtype),
    )


def predict(layers: Sequence[Layers], data: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Energies (B,) and forces (A, 3) in units of the energy scale; networks with tanh."""
    inputs = data.inputs.detach().requires_grad_()
    atomic = inputs.new_zeros(len(inputs))
    for network, rows in zip(layers, data.places, strict=True):
        hidden = inputs[rows]
        for weights, bias in network[:-1]:
            hidden = torch.tanh(torch.nn.functional.linear(hidden, weights, bias))
        atomic = atomic.index_add(0, rows, torch.nn.functional.linear(hidden, *network[-1])[:, 0])
    energies = inputs.new_zeros(len(data.sizes)).index_add(0, data.owner, atomic)
    (gradient,) = torch.autograd.grad(atomic.sum(), inputs, create_graph=True)
    pulls = torch.bmm(data.slopes, gradient[:, :, None]).view(len(inputs), -1, 3)
    return energies, pulls.sum(1).index_add(0, data.neighbor.view(-1), -pulls.reshape(-1, 3))


def loss(layers: Sequence[Layers], data: Batch, alpha: float) -> torch.Tensor:
    """(1 - alpha) RMSE of the energy per atom + alpha RMSE of an atom's force vector: train_daemon.losses.AlphaMix."""
    energies, forces = predict(layers, data)
    energy = ((energies - data.energies) / data.sizes).square().mean().sqrt()
    return (1 - alpha) * energy + alpha * (forces - data.forces).square().sum(1).mean().sqrt()


class Trainer:
    """AdamW over minibatches that do not change."""

    def __init__(self, layers: Sequence[Layers], batches: Sequence[Batch], alpha: float, learning_rate: float) -> None:
        """`layers` are trained in place."""
        self.layers, self.batches, self.alpha = layers, batches, alpha
        self.draw = np.random.default_rng(0)
        self.optimiser = torch.optim.AdamW(parameters(layers), lr=learning_rate, weight_decay=0.0, fused=True)

    def epoch(self) -> float:
        """One step with each minibatch; returns the mean of their losses."""
        total = 0.0
        for number in self.draw.permutation(len(self.batches)):
            self.optimiser.zero_grad()
            value = loss(self.layers, self.batches[number], self.alpha)
            value.backward()
            self.optimiser.step()
            total += value.item()
        return total / len(self.batches)


def parameters(layers: Iterable[Layers]) -> list[torch.Tensor]:
    """All of them, species by species, layer by layer, as numbers that autograd follows."""
    return [part.requires_grad_() for network in layers for layer in network for part in layer]
