"""One optimiser step: the loss over a whole minibatch, whoever computes which part of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from kernels.arrays import Array
from train_daemon import losses
from train_daemon.group import ALONE, Group
from train_daemon.losses import Labels, Loss, Numbers, Sums


class Engine(Protocol):
    """Computes residuals and gradients of the parameters it was made for, and moves them."""

    gradient: torch.Tensor  # (P,)

    def labels(self, chosen: Array) -> Labels:
        """What is known of the chosen structures before anything is computed.  chosen: (B,)."""
        ...

    def forward(self, chosen: Array) -> Sequence[Numbers]:
        """Residuals of the energies, mean squares of those of the forces, and of the virials if there are some, (B,) each.

        chosen: (B,).
        """
        ...

    def backward(self, by_energy: Numbers, by_square: Numbers, by_virial: Numbers | None) -> None:
        """Write the parameters' gradient of the last pass, from the loss's slopes (B,) by what it returned."""
        ...

    def update(self, rate: float) -> None:
        """One step of the optimiser along the gradient."""
        ...


def differentiate(
    engine: Engine,
    loss: Loss,
    chosen: Array,
    share: float,
    group: Group = ALONE,
    project: Callable[[torch.Tensor], None] | None = None,
) -> Sums:
    """Leave the gradient of a minibatch's loss in `engine.gradient`, the same on all processes of the group.

    chosen: (B,).  share: the learning rate's part of its start.  project: makes the gradient one that the parameters may follow.
    """
    mine = group.part(len(chosen))
    found = engine.forward(chosen[mine]) if mine.start < mine.stop else None
    labels = engine.labels(chosen)
    count = 2 if labels.virial_known is None else 3
    every = losses.residuals(group.whole(found, count, labels.weights), labels)
    slopes = losses.evaluate(loss, every, share)
    if found is None:
        engine.gradient.zero_()
    else:
        by_virial = None if slopes.by_virial is None else slopes.by_virial[mine]
        engine.backward(slopes.by_energy[mine], slopes.by_square[mine], by_virial)
    group.add(engine.gradient)
    if project is not None:
        project(engine.gradient)
    return losses.sums(every, slopes)
