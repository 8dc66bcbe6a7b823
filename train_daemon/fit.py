"""One fit: minibatches, AdamW, the learning rate along a cosine, the polish; and the choice of the device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from kernels import native
from kernels.arrays import Array
from protocol.errors import EnvironmentFailed, LearnFailed
from train_daemon.autograd import AutogradStep, validation_loss
from train_daemon.blocks import Layers
from train_daemon.direct import DirectStep
from train_daemon.exported import Exported
from train_daemon.group import ALONE, Group
from train_daemon.learners.base import Budget, FitReport, LearnerContext
from train_daemon.losses import Sums
from train_daemon.polish import chunks, polish
from train_daemon.recipe import Recipe, Table, clip, cosine_rate
from train_daemon.step import Engine, differentiate

ROW_STEPS = 100  # epochs shorter than this share a row of the journal


def choose_device(wanted: str) -> tuple[str, str]:
    """The device to train on and why; `auto` takes CUDA where there is one, `cuda` is EnvironmentFailed without."""
    there = torch.cuda.is_available()
    if wanted == "auto":
        if there:
            return "cuda", f"auto: found {torch.cuda.get_device_name()}"
        return "cpu", f"auto: torch {torch.__version__} sees no CUDA device"
    if wanted.startswith("cuda") and not there:
        raise EnvironmentFailed(f"torch {torch.__version__} sees no CUDA device", "trainer.device", "use auto or cpu")
    return wanted, "asked for by trainer.device"


def use_machine(context: LearnerContext) -> tuple[str, str]:
    """Take the threads that the machine gives to torch and to the compiled loops; the device to train on and why."""
    torch.set_num_threads(context.threads)
    native.use_threads(context.threads)
    return choose_device(context.device)


def fit(layers: Sequence[Layers], table: Table, recipe: Recipe, budget: Budget, group: Group = ALONE) -> FitReport:
    """Train `layers`, which it changes in place, until the steps are done, patience ends, or the budget says stop.

    All processes of a group call it with equal arguments, but for the budget. What `budget.on_progress` gets tells the layers
    as they would leave the fit now, in numpy arrays of double precision.
    """
    parameters = [part.requires_grad_() for network_layers in layers for layer in network_layers for part in layer]
    work = _Fit(layers, flattened(parameters), table, recipe, budget, group)
    work.minibatches()
    work.exported.leave()
    if recipe.polish_steps and not work.run.stopped:
        work.polish()
    for part in parameters:
        part.requires_grad_(False)
    return FitReport(work.step, work.epochs, work.run.errors)


class _Fit:
    """One fit under way."""

    def __init__(
        self, layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe, budget: Budget, group: Group
    ) -> None:
        self.layers, self.flat, self.table, self.recipe, self.budget = layers, flat, table, recipe, budget
        self.group = group
        self.engine = _engine(layers, flat, table, recipe)
        self.project = partial(tie, layers=layers) if recipe.shared else None
        self.exported = Exported(flat, recipe.ema)
        self.run = _Run(table.energy_scale, budget, lambda: arrays(shaped(self.exported.weights(), layers)))
        self.step = self.epochs = 0

    def minibatches(self) -> None:
        """All epochs."""
        recipe, run, members = self.recipe, self.run, self.table.members
        draw, count, last = np.random.default_rng(recipe.seed), len(members), False
        steps = max(self.budget.steps, self.budget.epochs * math.ceil(count / recipe.batch))
        while not last:
            order = members[draw.permutation(count)]
            for begin in range(0, count, recipe.batch):
                rate = cosine_rate(recipe, self.step / steps)
                run.count(self.differentiate(order[begin : begin + recipe.batch], rate / recipe.learning_rate))
                clip(self.engine.gradient, recipe.gradient_clip)
                self.engine.update(rate)
                self.exported.stepped()
                self.step += 1
                run.stopped = self.budget.should_stop()
                if self.step >= steps or run.stopped:
                    break
            self.epochs += 1
            seen = {} if run.stopped else self._validated()
            last = self.step >= steps or run.stopped or 0 < recipe.patience_epochs <= self.exported.stale
            run.end_of_epoch({"epoch": self.epochs, "step": self.step, "steps": steps, "learning_rate": rate, **seen}, last)

    def differentiate(self, chosen: Array, share: float) -> Sums:
        """The parameters' gradients.  chosen: (B,).  share: the learning rate's part of its value at the start."""
        return differentiate(self.engine, self.recipe.loss, chosen, share, self.group, self.project)

    def polish(self) -> None:
        """L-BFGS on all structures; undone if the validation side likes it no better."""
        before, best, members = self.flat.detach().clone(), self.exported.best_loss, self.table.members
        polish(self.differentiate, self.flat, members, self.recipe.polish_steps, self.budget.should_stop)
        self.exported = Exported(self.flat, 0.0)
        seen = self._validated()
        if seen and not self.exported.best_loss < best:
            self.flat.detach().copy_(before)
            self.exported = Exported(self.flat, 0.0)
        for chunk in chunks(members):
            self.run.count(self.differentiate(chunk, 0.0))
        self.run.end_of_epoch(
            {"epoch": self.epochs, "step": self.step, "steps": self.step, "learning_rate": 0.0, **seen}, last=True
        )

    def _validated(self) -> dict[str, float]:
        """For the row of an epoch: the validation side's loss, if there is such a side."""
        if not (self.recipe.patience_epochs and len(self.table.validation)):
            return {}
        judge = partial(validation_loss, self.layers, self.table, self.recipe)
        return {"validation_loss": self.exported.look(partial(self.group.lead, judge))}


def flattened(parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor (P,) that holds all parameters, which become views of it, as do their gradients: one update, not a dozen."""
    flat = torch.cat([part.detach().reshape(-1) for part in parameters]).requires_grad_()
    flat.grad = torch.zeros_like(flat)
    at = 0
    for part in parameters:
        part.data = flat.data[at : at + part.numel()].view_as(part)
        part.grad = flat.grad[at : at + part.numel()].view_as(part)
        at += part.numel()
    return flat


def tie(gradient: torch.Tensor, layers: Sequence[Layers]) -> None:
    """Average a gradient (P,) over the species, in place, but for the first and last biases: networks that were equal stay so.

    A first bias of its own for each species is an embedding of the species: W (G, e) + b = W_G G + (W_e e + b).
    """
    by_species, at = gradient.view(len(layers), -1), 0
    parts = [part for layer in layers[0] for part in layer]
    for number, part in enumerate(parts):
        columns = by_species[:, at : at + part.numel()]
        if number not in (1, len(parts) - 1):
            columns.copy_(columns.mean(0, keepdim=True).expand_as(columns))
        at += part.numel()


def _engine(layers: Sequence[Layers], flat: torch.Tensor, table: Table, recipe: Recipe) -> Engine:
    """The fastest way to take steps on the table's device."""
    return (DirectStep if table.slopes.device.type == "cpu" else AutogradStep)(layers, flat, table, recipe)


def shaped(flat: torch.Tensor, like: Sequence[Layers]) -> list[Layers]:
    """Parameters (P,) in the shape of layers, as views."""
    parts = iter(flat.split([part.numel() for species in like for layer in species for part in layer]))
    return [[(next(parts).view_as(weights), next(parts).view_as(bias)) for weights, bias in species] for species in like]


def arrays(layers: Sequence[Layers]) -> list[list[tuple[Array, Array]]]:
    """Copies of layers as numpy arrays in double precision."""
    return [[(_array(weights), _array(bias)) for weights, bias in species] for species in layers]


def _array(part: torch.Tensor) -> Array:
    result: Array = part.detach().cpu().numpy().astype(np.float64)
    return result


class _Run:
    """Sums of the errors since the last row, and the rows."""

    def __init__(self, energy_scale: float, budget: Budget, snapshot: Callable[[], Any]) -> None:
        self.scale, self.budget, self.snapshot, self.stopped = energy_scale, budget, snapshot, False
        self.errors: dict[str, float] = {}
        self._reset()

    def _reset(self) -> None:
        self.sums: Sums | None = None
        self.steps = 0
        self.since = time.monotonic()

    def count(self, sums: Sums) -> None:
        """Add the sums of one minibatch."""
        self.sums = sums if self.sums is None else Sums(*(a + b for a, b in zip(self.sums, sums, strict=True)))
        self.steps += 1

    def end_of_epoch(self, place: dict[str, float], last: bool) -> None:
        """Write a row if enough steps are together; a loss that is not finite ends the fit (LearnFailed)."""
        if self.sums is None or not (last or self.steps >= ROW_STEPS):
            return
        value, energy, force, structures, virial, virials = (float(total) for total in self.sums)
        if not math.isfinite(value):
            raise LearnFailed(
                "the loss is not a finite number", f"epoch {place['epoch']}", "lower learner.learning_rate, or look at the labels"
            )
        self.errors = {
            "rmse_energy_meV_per_atom": 1000.0 * self.scale * math.sqrt(energy / max(structures, 1)),
            "rmse_force_eV_per_A": self.scale * math.sqrt(force / max(structures, 1)),
        }
        if virials:
            self.errors["rmse_virial_meV_per_atom"] = 1000.0 * self.scale * math.sqrt(virial / virials)
        seconds = time.monotonic() - self.since
        self.budget.on_epoch({**place, "loss": value / self.steps, **self.errors, "samples": int(structures), "seconds": seconds})
        self.budget.on_progress(self.snapshot)
        self._reset()
