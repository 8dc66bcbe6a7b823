"""What a fit is given: the recipe, and the labelled structures on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from kernels.arrays import Array
from train_daemon.blocks import Maps
from train_daemon.losses import Loss


@dataclass(frozen=True)
class Recipe:
    """How to fit."""

    batch: int  # structures of a minibatch
    learning_rate: float  # at the start of the cosine
    last_learning_rate: float  # at its end
    loss: Loss
    activation: str
    seed: int
    weight_decay: float = 0.0  # of AdamW
    ema: float = 0.0  # decay of the moving average of the weights; 0: none
    patience_epochs: int = 0  # without a better validation loss, then the fit ends; 0: no validation
    polish_steps: int = 0  # of L-BFGS on all structures, at the end
    shared: bool = False  # the species' networks are equal but for their first and last biases
    gradient_clip: float = 0.0  # longest gradient of a step by the parameters, Euclidean; 0: any


@dataclass(frozen=True)
class Table:
    """n structures with A atoms in all, on the device, in units of the energy scale."""

    members: Array  # (m,) the structures to train on, of the n that are here
    validation: Array  # (k,) those that tell when to stop; none: nobody looks
    features: torch.Tensor  # (A, F) less a constant of each species; on the device or, where they are too many, on scratch
    kinds: Array  # (A,) place of each atom's species
    starts: Array  # (n + 1,) first atom of each structure
    energies: torch.Tensor  # (n,) without the reference energies
    forces: torch.Tensor  # (A, 3) 1/A
    weights: torch.Tensor  # (n,)
    forced: torch.Tensor  # (n,) 1; 0 for a structure without forces of its own
    compositions: torch.Tensor  # (n,) whole numbers, equal for equal compositions
    offsets: torch.Tensor  # (species, F): what remains to be taken from the features
    slopes: torch.Tensor  # (species, F): d inputs / d features
    mixing: torch.Tensor | None  # (F, R): d features / d resolved features; None for the identity
    energy_scale: float  # eV
    maps: Callable[[Array], Maps]  # of the chosen structures
    virials: torch.Tensor | None = None  # (n, 3, 3), 0 where there is none; None: no structure has one
    virial_known: torch.Tensor | None = None  # (n,) 1; 0 for a structure without a virial

    def inputs(self, kind: int, rows: Array) -> torch.Tensor:
        """Standardised features of atoms of one species, (a, F).  rows: (a,)."""
        chosen = self.features.index_select(0, torch.from_numpy(rows).to(self.features.device)).to(self.slopes.device)
        return chosen.sub_(self.offsets[kind]).mul_(self.slopes[kind])


def cosine_rate(recipe: Recipe, done: float) -> float:
    """Learning rate after a share `done` of the fit."""
    return recipe.last_learning_rate + (recipe.learning_rate - recipe.last_learning_rate) * 0.5 * (1 + math.cos(math.pi * done))


def clip(gradient: torch.Tensor, longest: float) -> None:
    """Shorten a gradient (P,), in place, to a Euclidean norm of at most `longest`; 0 leaves it as it is."""
    if longest:
        norm = torch.linalg.vector_norm(gradient)
        gradient.mul_(longest / norm.clamp(min=longest))
