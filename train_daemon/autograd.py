"""Steps by autograd, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from kernels.arrays import Array
from train_daemon import losses
from train_daemon.blocks import ForceProduct, Layers, VirialProduct, network
from train_daemon.losses import Residuals, Sums
from train_daemon.recipe import Recipe, Table, clip


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
    device = table.inputs.device
    inputs = table.inputs[torch.from_numpy(rows[order]).to(device)]
    energies, gradients = [], []
    at = 0
    for kind, count in enumerate(np.bincount(kinds, minlength=len(layers))):
        energy, gradient = network(layers[kind], activation, inputs[at : at + count])
        energies.append(energy)
        gradients.append(gradient * table.slopes[kind])
        at += count
    total = inputs.new_zeros(len(chosen)).index_add(0, torch.from_numpy(owner[order]).to(device), torch.cat(energies))
    gradient = torch.cat(gradients)[torch.from_numpy(np.argsort(order, kind="stable")).to(device)]
    if table.mixing is not None:
        gradient = gradient @ table.mixing
    maps = table.maps(chosen)
    if table.virials is None:
        return Found(total, ForceProduct.apply(gradient, maps), None), rows
    return Found(total, *VirialProduct.apply(gradient, maps)), rows


def residuals(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> Residuals:
    """Residuals of the chosen structures, with their history.  chosen: (B,)."""
    (energies, forces, virials), rows = predict(layers, table, chosen, activation)
    device = table.inputs.device
    where = torch.from_numpy(chosen).to(device)
    sizes = np.diff(table.starts)[chosen]
    owner = torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)).to(device)
    atoms = torch.from_numpy(sizes).to(device=device, dtype=energies.dtype)
    off = (forces - table.forces[torch.from_numpy(rows).to(device)]).square().sum(1)
    squares = torch.zeros_like(energies).index_add(0, owner, off) / (3 * atoms)
    labels = table.weights[where], table.forced[where], atoms, table.compositions[where]
    found = Residuals(energies - table.energies[where], squares, *labels)
    if virials is None or table.virials is None or table.virial_known is None:
        return found
    per_atom = (virials - table.virials[where]) / atoms[:, None, None]
    return found._replace(virial_squares=per_atom.square().mean((1, 2)), virial_known=table.virial_known[where])


@torch.no_grad()
def validation_loss(layers: Sequence[Layers], table: Table, recipe: Recipe) -> float:
    """The loss of the validation side as it counts at the end of a fit."""
    total = 0.0
    for begin in range(0, len(table.validation), recipe.batch):
        chosen = table.validation[begin : begin + recipe.batch]
        total += float(losses.evaluate(recipe.loss, residuals(layers, table, chosen, recipe.activation), 0.0).value) * len(chosen)
    return total / len(table.validation)


class AutogradStep:
    """Steps by autograd."""

    def __init__(self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> None:
        """`layers` are views of `flat` (P,), and their gradients of its gradient."""
        assert flat.grad is not None
        self.layers, self.table, self.recipe, self.gradient = layers, table, recipe, flat.grad
        self.optimiser = torch.optim.AdamW([flat], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)

    def run(self, chosen: Array, rate: float) -> Sums:
        """One update of the parameters by a minibatch.  chosen: (B,)."""
        sums = self.differentiate(chosen, rate / self.recipe.learning_rate)
        clip(self.gradient, self.recipe.gradient_clip)
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        return sums

    def differentiate(self, chosen: Array, share: float) -> Sums:
        """The parameters' gradients.  share: the learning rate's part of its value at the start."""
        self.optimiser.zero_grad(set_to_none=False)
        found = residuals(self.layers, self.table, chosen, self.recipe.activation)
        with torch.no_grad():
            plain = Residuals(*(None if part is None else part.detach() for part in found))
            slopes = losses.evaluate(self.recipe.loss, plain, share)
            sums = losses.sums(plain, slopes)
        ends, by_ends = [found.energies, found.squares], [slopes.by_energy, slopes.by_square]
        if slopes.by_virial is not None:
            ends, by_ends = [*ends, found.virial_squares], [*by_ends, slopes.by_virial]
        torch.autograd.backward(ends, by_ends)
        return sums
