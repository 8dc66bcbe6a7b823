"""Several networks that were trained on resampled data, and their mean, which is one wider network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from math import exp, factorial

import numpy as np
from scipy.linalg import block_diag

from kernels.arrays import Array
from kernels.potentials.bpnn import BpnnModel, Layers
from train_daemon.dataset import Sample

DRAWS = np.cumsum([exp(-1) / factorial(count) for count in range(12)])  # of a structure: Poisson of mean 1


def mean(networks: Sequence[BpnnModel]) -> BpnnModel:
    """The mean of networks of one shape and normalisation: hidden layers side by side, the outputs averaged. Exact."""
    if len(networks) == 1:
        return networks[0]
    species = zip(*(network.layers for network in networks), strict=True)
    return replace(networks[0], layers=tuple(_side_by_side(stacks) for stacks in species))


def _side_by_side(stacks: Sequence[Layers]) -> Layers:
    """Layers of one species."""
    layers = [tuple(zip(*pairs, strict=True)) for pairs in zip(*stacks, strict=True)]  # per layer: all matrices, all biases
    (first, first_bias), *middle, (last, last_bias) = layers
    inner = [(block_diag(*matrices), np.concatenate(biases)) for matrices, biases in middle]
    outputs = np.concatenate(last, axis=1) / len(stacks), np.mean(last_bias, axis=0)
    return ((np.concatenate(first), np.concatenate(first_bias)), *inner, outputs)


def bootstrap(samples: Sequence[Sample], seed: int, member: int) -> Array:
    """How often each structure is drawn for a member: Poisson numbers of mean 1 that depend on the structure alone.

    So a structure keeps its number as the data grow.  Returns (n,), ones if nothing would be drawn.
    """
    heads = [sha256(f"{seed}/{member}/".encode() + sample.key).digest()[:8] for sample in samples]
    uniform = np.array([int.from_bytes(head, "big") for head in heads]) / 2.0**64
    drawn = np.searchsorted(DRAWS, uniform, side="right").astype(np.float64)
    return drawn if drawn.any() else np.ones(len(samples))
