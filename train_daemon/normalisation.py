"""Normalisation of features, reference energies and energy scale; and how a network changes with them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.baseline import Baseline
from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from train_daemon.library import Library

SCALE_FLOOR = 1e-2  # smallest standard deviation of a feature, as a share of the largest of its species


def unseen(network: bpnn.BpnnModel) -> Array:
    """Which species had no atom in the data that normalised a network; (S,) bool."""
    found: Array = ((network.scale == 0) & (network.mean == 0)).all(axis=1)
    return found


def remapped(network: bpnn.BpnnModel, norm: dict[str, Any]) -> bpnn.BpnnModel:
    """The same function with another normalisation; a feature that was dead before begins with no weight.

    A species that is seen for the first time begins at its reference energy.
    """
    layers = []
    first_seen = unseen(network) & norm["mean"].any(axis=1)
    ratio = network.energy_scale_eV / norm["energy_scale_eV"]
    for kind, species in enumerate(network.layers):
        (first, bias), (last, last_bias) = species[0], species[-1]
        old, new = network.scale[kind], norm["scale"][kind]
        new[(new == 0) & (old != 0)] = old[(new == 0) & (old != 0)]
        weights = first * np.divide(old, new, out=np.zeros_like(old), where=new != 0)
        bias = bias + first @ (old * (norm["mean"][kind] - network.mean[kind]))
        change = 0.0 if first_seen[kind] else network.reference_eV[kind] - norm["reference_eV"][kind]
        shift = change / norm["energy_scale_eV"]
        layers.append(((weights, bias), *species[1:-1], (last * ratio, last_bias * ratio + shift)))
    return replace(network, layers=tuple(layers), **norm)


def normalisation(library: Library, members: Array, baseline: Baseline | None, shared: bool) -> dict[str, Any]:
    """Mean and scale of the features, reference energies by least squares, energy scale = root mean square force times 1 A.

    baseline: the two-body energy below the networks, whose energies and forces are taken off first.
    shared: one mean and scale for all species.
    """
    rows, (energies, forces) = library.atoms(members), library.above(baseline)
    mean, spread = library.moments(rows)
    if shared:
        mean, spread = _pooled(mean, spread, np.bincount(library.kinds[rows], minlength=len(mean))[:, None])
    if library.descriptor.basis == "bspline":
        spread = np.array([_of_channels(library.descriptor, one) for one in spread])
    floor = SCALE_FLOOR * spread.max(axis=1, keepdims=True)
    scale = np.divide(1.0, np.maximum(spread, floor), out=np.zeros_like(spread), where=floor > 0)
    references = np.linalg.lstsq(library.composition(members).astype(np.float64), energies[members], rcond=None)[0]
    force = float(np.sqrt(np.mean(forces[rows] ** 2)))
    return {"mean": mean, "scale": scale, "reference_eV": references, "energy_scale_eV": force or 1.0}


def _of_channels(descriptor: Chebyshev, spread: Array) -> Array:
    """One spread for all splines of a channel: with their own, the function would be wild where few points are.  spread: (F,)."""
    radial, angular = descriptor.places
    ends = np.sort(np.concatenate([radial, angular.ravel(), [descriptor.length]]))
    sizes = np.diff(ends)
    return np.repeat(np.sqrt(np.add.reduceat(spread**2, ends[:-1]) / sizes), sizes)


def _pooled(mean: Array, spread: Array, atoms: Array) -> tuple[Array, Array]:
    """Mean and standard deviation over all species, again for each of them.  mean, spread: (S, F).  atoms: (S, 1)."""
    share = atoms / atoms.sum()
    middle = (share * mean).sum(axis=0)
    square = (share * (spread**2 + (mean - middle) ** 2)).sum(axis=0)
    return np.tile(middle, (len(mean), 1)), np.tile(np.sqrt(square), (len(mean), 1))
