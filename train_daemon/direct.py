"""One step on the CPU without autograd: the loss's gradient by the parameters in closed form, a few matrix products a species.

With a = dE/dx of a network and v = dL/da, the force term's gradient is that of a . v, the slope of the energy along v. So after
the energies and a (one pass down and one up) a pass carries v down the network beside the values, and one pass up gives the
gradient of both terms. What the up pass of the slope needs, the first one has left. `autograd.AutogradStep` gives the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from kernels.fitting import adam, force_slopes, residuals
from train_daemon.activations import apply, down, down_bent
from train_daemon.blocks import Layers, Maps
from train_daemon.losses import Labels
from train_daemon.recipe import Recipe, Table


class Trace(NamedTuple):
    """What one network leaves behind for one minibatch: n atoms."""

    hidden: list[torch.Tensor]  # per layer its inputs (n, in)
    cores: list[torch.Tensor]  # per hidden layer what its slopes follow from (n, out), see activations.py
    upper: list[torch.Tensor]  # per hidden layer dE / d its outputs, (n, out) or (1, out)
    lower: list[torch.Tensor]  # per hidden layer dE / d its sums, (n, out)
    energy: torch.Tensor  # (n,)
    gradient: torch.Tensor  # (n, F)


class Rows(NamedTuple):
    """Where the atoms of a minibatch of B structures are."""

    begin: Array  # (B,) first atom of each structure, in the minibatch
    sizes: Array  # (B,) number of atoms
    every: Array  # (A,) 0, 1, ...
    places: tuple[Array, ...]  # per species its atoms' rows in the minibatch
    kinds: tuple[torch.Tensor, ...]  # the same
    owners: tuple[torch.Tensor, ...]  # per species its atoms' structures


class _Pass(NamedTuple):
    """What the way forward leaves for the way back."""

    chosen: Array  # (B,)
    rows: Rows
    traces: list[Trace]
    maps: Maps
    wrong: torch.Tensor  # (A, 3) residuals of the forces
    bent: torch.Tensor | None  # (B, 3, 3) residuals of the virials over N


def _gradient(part: torch.Tensor) -> torch.Tensor:
    assert part.grad is not None
    return part.grad


def evaluate(layers: Layers, activation: str, inputs: torch.Tensor) -> Trace:
    """Energies and their gradient.  inputs: (n, F)."""
    hidden, cores = [inputs], []
    for weights, bias in layers[:-1]:
        values, core = apply(activation, torch.addmm(bias, hidden[-1], weights.t()))
        hidden.append(values)
        cores.append(core)
    weights, bias = layers[-1]
    energy = torch.addmm(bias, hidden[-1], weights.t())[:, 0]
    upper, lower, gradient = [], [], weights
    for (below, _), core in zip(reversed(layers[:-1]), reversed(cores), strict=True):
        upper.append(gradient)
        lower.append(down(activation, gradient, core))
        gradient = lower[-1] @ below
    return Trace(hidden, cores, upper[::-1], lower[::-1], energy, gradient.expand(len(inputs), -1))


def accumulate(
    layers: Layers, into: Layers, activation: str, trace: Trace, by_energy: torch.Tensor, by_gradient: torch.Tensor
) -> None:
    """Write the derivatives of the loss by the parameters.

    into: shaped as `layers`, overwritten.  by_energy: (n,) dL/dE of each atom.  by_gradient: (n, F) dL/d gradient.
    """
    moving, motions = [by_gradient], []
    for (weights, _), core in zip(layers[:-1], trace.cores, strict=True):
        motions.append(moving[-1] @ weights.t())
        moving.append(down(activation, motions[-1], core))
    weights, bias = into[-1]
    torch.mm(by_energy[None], trace.hidden[-1], out=weights)
    weights.add_(moving[-1].sum(0))
    torch.sum(by_energy, 0, keepdim=True, out=bias)
    upstream = torch.outer(by_energy, layers[-1][0][0])
    for k in range(len(layers) - 2, -1, -1):
        upstream = down_bent(activation, upstream, trace.upper[k], motions[k], trace.cores[k])
        weights, bias = into[k]
        torch.mm(upstream.t(), trace.hidden[k], out=weights)
        weights.addmm_(trace.lower[k].t(), moving[k])
        torch.sum(upstream, 0, out=bias)
        if k:
            upstream = upstream @ layers[k][0]


class DirectStep:
    """Steps on the CPU; see `rows` for what it remembers."""

    def __init__(self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> None:
        """`layers` are views of `flat` (P,), and their gradients of its gradient."""
        self.layers, self.table, self.recipe = layers, table, recipe
        self.into = [[(_gradient(weights), _gradient(bias)) for weights, bias in species] for species in layers]
        self.flat, self.gradient = flat.detach().numpy(), _gradient(flat)
        self.moments, self.count = np.zeros((2, len(self.flat)), self.flat.dtype), 0
        self.sizes = np.diff(table.starts)
        one = table.kinds[: self.sizes[0]]
        self.uniform = bool(np.all(self.sizes == len(one)) and np.all(table.kinds.reshape(-1, len(one)) == one))
        self.weights, self.forced = (part.numpy().astype(np.float64) for part in (table.weights, table.forced))
        self.known = None if table.virial_known is None else table.virial_known.numpy().astype(np.float64)
        self._kept: dict[int, Rows] = {}
        self._pass: _Pass | None = None

    def labels(self, chosen: Array) -> Labels:
        """See Engine."""
        known = None if self.known is None else self.known[chosen]
        compositions = self.table.compositions.numpy()[chosen]
        return Labels(self.weights[chosen], self.forced[chosen], self.sizes[chosen], compositions, known)

    @torch.no_grad()
    def forward(self, chosen: Array) -> tuple[Array, ...]:
        """See Engine."""
        table, rows, slopes = self.table, self.rows(chosen), self.table.slopes.unbind()
        shift = rows.every + np.repeat(table.starts[chosen] - rows.begin, rows.sizes)
        energy = table.energies.new_zeros(len(chosen))
        gradient = table.features.new_empty((len(shift), table.features.shape[1]))
        traces = []
        for kind, layers in enumerate(self.layers):
            trace = evaluate(layers, self.recipe.activation, table.inputs(kind, shift[rows.places[kind]]))
            energy.index_add_(0, rows.owners[kind], trace.energy)
            gradient.index_copy_(0, rows.kinds[kind], trace.gradient * slopes[kind])
            traces.append(trace)
        maps = table.maps(chosen)
        resolved = gradient if table.mixing is None else gradient @ table.mixing
        found, virial = (maps.forces(resolved), None) if table.virials is None else maps.forces_and_virial(resolved)
        off, squares, wrong = np.empty(len(chosen)), np.empty(len(chosen)), torch.empty_like(found)
        pairs = (energy.numpy(), table.energies.numpy()), (found.numpy(), table.forces.numpy())
        residuals(chosen, table.starts, *pairs, (off, squares, wrong.numpy()))
        bent = None if virial is None else self._bent(chosen, virial)
        self._pass = _Pass(chosen, rows, traces, maps, wrong, bent)
        return (off, squares) if bent is None else (off, squares, bent.double().square().mean((1, 2)).numpy())

    def _bent(self, chosen: Array, found: torch.Tensor) -> torch.Tensor:
        """Residuals of the virials over N, (B, 3, 3)."""
        assert self.table.virials is not None
        atoms = torch.from_numpy(self.sizes[chosen]).to(found.dtype)
        return (found - self.table.virials[torch.from_numpy(chosen)]) / atoms[:, None, None]

    @torch.no_grad()
    def backward(self, by_energy: Array, by_square: Array, by_virial: Array | None) -> None:
        """See Engine."""
        assert self._pass is not None
        table, (chosen, rows, traces, maps, wrong, bent) = self.table, self._pass
        force_slopes(chosen, table.starts, by_square, wrong.numpy())
        strain = None
        if bent is not None and by_virial is not None:  # dL / d virial
            strain = bent * torch.from_numpy(2 / 9 * by_virial / self.sizes[chosen]).to(bent.dtype)[:, None, None]
        change = maps.change(wrong, strain)
        if table.mixing is not None:
            change = change @ table.mixing.t()
        slopes, by_structure = table.slopes.unbind(), torch.from_numpy(by_energy).to(change.dtype)
        for kind, layers in enumerate(self.layers):
            by_gradient = change.index_select(0, rows.kinds[kind]).mul_(slopes[kind]).neg_()
            by_atom = by_structure.index_select(0, rows.owners[kind])
            accumulate(layers, self.into[kind], self.recipe.activation, traces[kind], by_atom, by_gradient)

    def update(self, rate: float) -> None:
        """One step of AdamW along the gradient."""
        self.count += 1
        adam(self.flat, self.gradient.numpy(), self.moments, rate, self.count, self.recipe.weight_decay)

    def rows(self, chosen: Array) -> Rows:
        """Rows of a minibatch; for structures that are all alike they depend on its size alone, and are kept."""
        if self.uniform and len(chosen) in self._kept:
            return self._kept[len(chosen)]
        sizes = self.sizes[chosen]
        begin = np.cumsum(sizes) - sizes
        owner, every = np.repeat(np.arange(len(chosen)), sizes), np.arange(sizes.sum())
        kinds = self.table.kinds[every + (self.table.starts[chosen] - begin)[owner]]
        places = [np.flatnonzero(kinds == kind) for kind in range(len(self.layers))]
        found = Rows(
            begin,
            sizes,
            every,
            tuple(places),
            tuple(torch.from_numpy(place) for place in places),
            tuple(torch.from_numpy(owner[place]) for place in places),
        )
        self._kept[len(chosen)] = found
        return found
