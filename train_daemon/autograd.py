"""Steps by autograd, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from train_daemon import losses
from train_daemon.blocks import ForceProduct, Layers, VirialProduct, network
from train_daemon.losses import Labels
from train_daemon.recipe import Recipe, Table


class Found(NamedTuple):
    """What the networks say of B structures with A atoms, in units of the energy scale."""

    energies: torch.Tensor  # (B,)
    forces: torch.Tensor  # (A, 3) 1/A
    virials: torch.Tensor | None  # (B, 3, 3); None where the table has none


def predict(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> tuple[Found, Array]:
    """Energies, forces and virials of the chosen structures, and their atoms' rows (A,)."""
    sizes = np.diff(table.starts)[chosen]
    owner = np.repeat(np.arange(len(chosen)), sizes)
    rows = np.arange(len(owner)) + (table.starts[chosen] - np.cumsum(sizes) + sizes)[owner]
    kinds = table.kinds[rows]
    order = np.argsort(kinds, kind="stable")
    device = table.slopes.device
    energies, gradients = [], []
    for kind, mine in enumerate(np.split(rows[order], np.cumsum(np.bincount(kinds, minlength=len(layers)))[:-1])):
        energy, gradient = network(layers[kind], activation, table.inputs(kind, mine))
        energies.append(energy)
        gradients.append(gradient * table.slopes[kind])
    total = table.energies.new_zeros(len(chosen)).index_add(0, torch.from_numpy(owner[order]).to(device), torch.cat(energies))
    gradient = torch.cat(gradients)[torch.from_numpy(np.argsort(order, kind="stable")).to(device)]
    if table.mixing is not None:
        gradient = gradient @ table.mixing
    maps = table.maps(chosen)
    if table.virials is None:
        return Found(total, ForceProduct.apply(gradient, maps), None), rows
    return Found(total, *VirialProduct.apply(gradient, maps)), rows


def labels(table: Table, chosen: Array) -> Labels:
    """What is known of the chosen structures before anything is computed.  chosen: (B,)."""
    device, energies = table.slopes.device, table.energies
    where = torch.from_numpy(chosen).to(device)
    atoms = torch.from_numpy(np.diff(table.starts)[chosen]).to(device=device, dtype=energies.dtype)
    known = None if table.virial_known is None else table.virial_known[where]
    return Labels(table.weights[where], table.forced[where], atoms, table.compositions[where], known)


def residuals(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> tuple[torch.Tensor, ...]:
    """What `step.Engine.forward` returns, with its history.  chosen: (B,)."""
    (energies, forces, virials), rows = predict(layers, table, chosen, activation)
    device = table.slopes.device
    sizes = np.diff(table.starts)[chosen]
    owner = torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)).to(device)
    where = torch.from_numpy(chosen).to(device)
    atoms = torch.from_numpy(sizes).to(device=device, dtype=energies.dtype)
    off = (forces - table.forces[torch.from_numpy(rows).to(device)]).square().sum(1)
    found = energies - table.energies[where], torch.zeros_like(energies).index_add(0, owner, off) / (3 * atoms)
    if virials is None or table.virials is None:
        return found
    return *found, ((virials - table.virials[where]) / atoms[:, None, None]).square().mean((1, 2))


@torch.no_grad()
def validation_loss(layers: Sequence[Layers], table: Table, recipe: Recipe) -> float:
    """The loss of the validation side as it counts at the end of a fit."""
    total = 0.0
    for begin in range(0, len(table.validation), recipe.batch):
        chosen = table.validation[begin : begin + recipe.batch]
        found = losses.residuals(residuals(layers, table, chosen, recipe.activation), labels(table, chosen))
        total += float(losses.evaluate(recipe.loss, found, 0.0).value) * len(chosen)
    return total / len(table.validation)


class AutogradStep:
    """Steps by autograd."""

    def __init__(self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> None:
        """`layers` are views of `flat` (P,), and their gradients of its gradient."""
        assert flat.grad is not None
        self.layers, self.table, self.recipe, self.gradient = layers, table, recipe, flat.grad
        self.optimiser = torch.optim.AdamW([flat], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
        self._found: tuple[torch.Tensor, ...] = ()

    def labels(self, chosen: Array) -> Labels:
        """See Engine."""
        return labels(self.table, chosen)

    def forward(self, chosen: Array) -> tuple[torch.Tensor, ...]:
        """See Engine."""
        self._found = residuals(self.layers, self.table, chosen, self.recipe.activation)
        return tuple(part.detach() for part in self._found)

    def backward(self, by_energy: torch.Tensor, by_square: torch.Tensor, by_virial: torch.Tensor | None) -> None:
        """See Engine."""
        self.gradient.zero_()
        slopes = (by_energy, by_square) if by_virial is None else (by_energy, by_square, by_virial)
        torch.autograd.backward(self._found[: len(slopes)], slopes)

    def update(self, rate: float) -> None:
        """One step of AdamW along the gradient."""
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
