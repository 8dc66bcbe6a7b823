"""Energy and force terms, per structure, with the weight of each structure."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Target(NamedTuple):
    """Labels of a minibatch of B structures and A atoms, in units of the energy scale."""

    energies: torch.Tensor  # (B,)
    forces: torch.Tensor  # (A, 3) 1/A
    weights: torch.Tensor  # (B,)
    atoms: torch.Tensor  # (B,) number of atoms
    owner: torch.Tensor  # (A,) the structure of each atom


class Sums(NamedTuple):
    """Sums over a minibatch, scalars without gradient, still on the device."""

    loss: torch.Tensor
    energy: torch.Tensor  # of (dE / N)^2
    force: torch.Tensor  # of the mean squared error of a force component


def loss(energies: torch.Tensor, forces: torch.Tensor, target: Target, energy_weight: float) -> tuple[torch.Tensor, Sums]:
    """Mean over the structures of weight (energy_weight dE^2 / N + mean squared error of a force component).

    energies: (B,).  forces: (A, 3).  Energies are compared per square root of N: their error grows so where atoms err alone.
    """
    off = energies - target.energies
    squares = (forces - target.forces).square().sum(1)
    force = torch.zeros_like(energies).index_add(0, target.owner, squares) / (3 * target.atoms)
    value = (target.weights * (energy_weight * off * off / target.atoms + force)).mean()
    with torch.no_grad():
        sums = Sums(value.detach(), (off.detach() / target.atoms).square().sum(), force.detach().sum())
    return value, sums
