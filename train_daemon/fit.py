"""One fit: minibatches, Adam, the learning rate along a cosine; and the choice of the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.arrays import Array
from protocol.errors import EnvironmentFailed, LearnFailed
from train_daemon.blocks import ForceProduct, Layers, Maps, network
from train_daemon.direct import DirectStep
from train_daemon.learners.base import Budget, FitReport
from train_daemon.loss import Sums, Target, loss

ROW_STEPS = 100  # epochs shorter than this share a row of the journal


@dataclass(frozen=True)
class Recipe:
    """How to fit."""

    batch: int  # structures of a minibatch
    learning_rate: float  # at the start of the cosine
    last_learning_rate: float  # at its end
    energy_weight: float  # of (dE)^2 / N against the mean square of a force component
    activation: str
    seed: int


@dataclass(frozen=True)
class Table:
    """n structures with A atoms in all, on the device, in units of the energy scale."""

    members: Array  # (m,) the structures to train on, of the n that are here
    inputs: torch.Tensor  # (A, F) standardised features
    kinds: Array  # (A,) place of each atom's species
    starts: Array  # (n + 1,) first atom of each structure
    energies: torch.Tensor  # (n,) without the reference energies
    forces: torch.Tensor  # (A, 3) 1/A
    weights: torch.Tensor  # (n,)
    slopes: torch.Tensor  # (species, F): d inputs / d features
    mixing: torch.Tensor | None  # (F, R): d features / d resolved features; None for the identity
    energy_scale: float  # eV
    maps: Callable[[Array], Maps]  # of the chosen structures


def choose_device(wanted: str) -> tuple[str, str]:
    """The device to train on and why; `auto` takes CUDA where there is one."""
    there = torch.cuda.is_available()
    if wanted == "auto":
        if there:
            return "cuda", f"auto: found {torch.cuda.get_device_name()}"
        return "cpu", f"auto: torch {torch.__version__} sees no CUDA device"
    if wanted.startswith("cuda") and not there:
        raise EnvironmentFailed(f"torch {torch.__version__} sees no CUDA device", "trainer.device", "use auto or cpu")
    return wanted, "asked for by trainer.device"


def predict(layers: Sequence[Layers], table: Table, chosen: Array, activation: str) -> tuple[torch.Tensor, torch.Tensor, Array]:
    """Energies (B,) and forces (A, 3) of the chosen structures in units of the energy scale, and their atoms' rows (A,)."""
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
    return total, ForceProduct.apply(gradient, table.maps(chosen)), rows


def fit(layers: Sequence[Layers], table: Table, recipe: Recipe, budget: Budget) -> FitReport:
    """Train `layers`, which it changes in place, until the steps are done or the budget says stop."""
    parameters = [part.requires_grad_() for network_layers in layers for layer in network_layers for part in layer]
    stepper = _stepper(layers, flattened(parameters), table, recipe)
    draw = np.random.default_rng(recipe.seed)
    count = len(table.members)
    steps = max(budget.steps, budget.epochs * math.ceil(count / recipe.batch))
    run = _Run(table.energy_scale, budget)
    step = epochs = 0
    while step < steps and not run.stopped:
        order = table.members[draw.permutation(count)]
        for begin in range(0, count, recipe.batch):
            rate = cosine_rate(recipe, step / steps)
            chosen = order[begin : begin + recipe.batch]
            sums = stepper.run(chosen, rate)
            step += 1
            run.count(sums, len(chosen))
            run.stopped = budget.should_stop()
            if step >= steps or run.stopped:
                break
        epochs += 1
        run.end_of_epoch(
            {"epoch": epochs, "step": step, "steps": steps, "learning_rate": rate}, last=step >= steps or run.stopped
        )
    for part in parameters:
        part.requires_grad_(False)
    return FitReport(step, epochs, run.errors)


def flattened(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor that holds all parameters, which become views of it, as do their gradients: one update instead of a dozen."""
    flat = torch.cat([part.detach().reshape(-1) for part in parameters]).requires_grad_()
    flat.grad = torch.zeros_like(flat)
    at = 0
    for part in parameters:
        part.data = flat.data[at : at + part.numel()].view_as(part)
        part.grad = flat.grad[at : at + part.numel()].view_as(part)
        at += part.numel()
    return flat


class AutogradStep:
    """Steps by autograd, on any device."""

    def __init__(self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> None:
        self.layers, self.table, self.recipe = layers, table, recipe
        self.flat, self.optimiser = flat, torch.optim.Adam([flat], lr=recipe.learning_rate, fused=True)

    def run(self, chosen: Array, rate: float) -> Sums:
        """One update of the parameters by a minibatch.  chosen: (B,)."""
        sums = self.differentiate(chosen)
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        return sums

    def differentiate(self, chosen: Array) -> Sums:
        """The same without the update: the parameters' gradients."""
        self.optimiser.zero_grad(set_to_none=False)
        energies, forces, rows = predict(self.layers, self.table, chosen, self.recipe.activation)
        value, sums = loss(energies, forces, _target(self.table, chosen, rows), self.recipe.energy_weight)
        value.backward()
        return sums


def _stepper(layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> AutogradStep | DirectStep:
    """The fastest way to take steps on the table's device."""
    if table.inputs.device.type == "cpu":
        return DirectStep(layers, flat, table, recipe.activation, recipe.energy_weight)
    return AutogradStep(layers, flat, table, recipe)


def cosine_rate(recipe: Recipe, done: float) -> float:
    """Learning rate after a share `done` of the fit."""
    return recipe.last_learning_rate + (recipe.learning_rate - recipe.last_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


def _target(table: Table, chosen: Array, rows: Array) -> Target:
    """What the chosen structures' labels say."""
    device = table.inputs.device
    where = torch.from_numpy(chosen).to(device)
    sizes = np.diff(table.starts)[chosen]
    weights = table.weights[where]
    atoms = torch.from_numpy(sizes).to(device=device, dtype=weights.dtype)
    owner = torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)).to(device)
    return Target(table.energies[where], table.forces[torch.from_numpy(rows).to(device)], weights, atoms, owner)


class _Run:
    """Sums of the errors since the last row, and the rows."""

    def __init__(self, energy_scale: float, budget: Budget) -> None:
        self.scale, self.budget, self.stopped = energy_scale, budget, False
        self.errors: dict[str, float] = {}
        self._reset()

    def _reset(self) -> None:
        self.sums: Sequence[Any] | None = None
        self.steps = self.samples = 0
        self.since = time.monotonic()

    def count(self, sums: Sequence[Any], samples: int) -> None:
        """Add the sums of one minibatch."""
        self.sums = sums if self.sums is None else [a + b for a, b in zip(self.sums, sums, strict=True)]
        self.steps += 1
        self.samples += samples

    def end_of_epoch(self, place: dict[str, float], last: bool) -> None:
        """Write a row if enough steps are together; a loss that is not finite ends the fit."""
        if self.sums is None or not (last or self.steps >= ROW_STEPS):
            return
        value, energy, force = (float(total) for total in self.sums)
        if not math.isfinite(value):
            raise LearnFailed(
                "the loss is not a finite number", f"epoch {place['epoch']}", "lower learner.learning_rate, or look at the labels"
            )
        self.errors = {
            "rmse_energy_meV_per_atom": 1000.0 * self.scale * math.sqrt(energy / self.samples),
            "rmse_force_eV_per_A": self.scale * math.sqrt(force / self.samples),
        }
        seconds = time.monotonic() - self.since
        self.budget.on_epoch({**place, "loss": value / self.steps, **self.errors, "samples": self.samples, "seconds": seconds})
        self._reset()
