"""Steps by autograd, on any device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kernels.arrays import Array
from train_daemon import losses
from train_daemon.blocks import ForceProduct, Layers, network
from train_daemon.losses import Labels, Residuals
from train_daemon.recipe import Recipe, Table


def predict(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> tuple[torch.Tensor, torch.Tensor, Array]:
    """Energies (B,) and forces (A, 3) of the chosen structures in units of the energy scale, and their atoms' rows (A,)."""
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
    return total, ForceProduct.apply(gradient, table.maps(chosen)), rows


def labels(table: Table, chosen: Array) -> Labels:
    """What is known of the chosen structures before anything is computed.  chosen: (B,)."""
    device, energies = table.slopes.device, table.energies
    where = torch.from_numpy(chosen).to(device)
    atoms = torch.from_numpy(np.diff(table.starts)[chosen]).to(device=device, dtype=energies.dtype)
    return Labels(table.weights[where], table.forced[where], atoms, table.compositions[where])


def residuals(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Residuals of the energies (B,) and mean squares of those of the forces (B,), with their history.  chosen: (B,)."""
    energies, forces, rows = predict(layers, table, chosen, activation)
    device = table.slopes.device
    sizes = np.diff(table.starts)[chosen]
    owner = torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)).to(device)
    components = torch.from_numpy(3 * sizes).to(device=device, dtype=energies.dtype)
    off = (forces - table.forces[torch.from_numpy(rows).to(device)]).square().sum(1)
    squares = torch.zeros_like(energies).index_add(0, owner, off) / components
    return energies - table.energies[torch.from_numpy(chosen).to(device)], squares


@torch.no_grad()
def validation_loss(layers: Sequence[Layers], table: Table, recipe: Recipe) -> float:
    """The loss of the validation side as it counts at the end of a fit."""
    total = 0.0
    for begin in range(0, len(table.validation), recipe.batch):
        chosen = table.validation[begin : begin + recipe.batch]
        found = Residuals(*residuals(layers, table, chosen, recipe.activation), *labels(table, chosen))
        total += float(losses.evaluate(recipe.loss, found, 0.0).value) * len(chosen)
    return total / len(table.validation)


class AutogradStep:
    """Steps by autograd."""

    def __init__(self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> None:
        """`layers` are views of `flat` (P,), and their gradients of its gradient."""
        assert flat.grad is not None
        self.layers, self.table, self.recipe, self.gradient = layers, table, recipe, flat.grad
        self.optimiser = torch.optim.AdamW([flat], lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
        self._found: tuple[torch.Tensor, torch.Tensor] | None = None

    def labels(self, chosen: Array) -> Labels:
        """What is known of the chosen structures before anything is computed.  chosen: (B,)."""
        return labels(self.table, chosen)

    def forward(self, chosen: Array) -> tuple[torch.Tensor, torch.Tensor]:
        """Residuals of the energies (B,) and mean squares of those of the forces (B,).  chosen: (B,)."""
        self._found = residuals(self.layers, self.table, chosen, self.recipe.activation)
        return self._found[0].detach(), self._found[1].detach()

    def backward(self, by_energy: torch.Tensor, by_square: torch.Tensor) -> None:
        """Write the parameters' gradient of the last pass.  by_energy, by_square: (B,) slopes of the loss."""
        assert self._found is not None
        self.gradient.zero_()
        torch.autograd.backward(self._found, (by_energy, by_square))

    def update(self, rate: float) -> None:
        """One step of AdamW along the gradient."""
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
