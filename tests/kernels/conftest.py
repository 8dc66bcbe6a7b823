"""Fixtures of the kernels' tests: small systems with a known answer or none in particular."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from kernels import network


@pytest.fixture
def aenet_reference() -> Path | None:
    """The folder of aenet's reference features, or None where there is none."""
    root = os.environ.get("RENKEI_REFERENCE_DATA")
    return Path(root) / "aenet-descriptors" if root else None


@pytest.fixture
def tio2_reference() -> Path | None:
    """The folder of aenet's networks for TiO2 with their energies and forces, or None where there is none."""
    root = os.environ.get("RENKEI_REFERENCE_DATA")
    return Path(root) / "tio2-aenet" if root else None


@pytest.fixture(params=["open", "slab", "wire", "periodic"])
def silica(request):
    """Three batches of six O, Si, H atoms in a small triclinic cell: (positions, numbers, cell, pbc)."""
    rng = np.random.default_rng(7)
    cell = np.diag([3.1, 3.4, 3.8]) + rng.uniform(-0.6, 0.6, (3, 3))
    grid = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1]]) / 2
    # moved by whole cells, so some atoms lie outside
    positions = (grid + rng.uniform(-0.08, 0.08, (3, 6, 3)) + [1, -2, 0]) @ cell
    pbc = {"open": [0, 0, 0], "slab": [1, 0, 1], "wire": [0, 0, 1], "periodic": [1, 1, 1]}[request.param]
    return positions, np.array([8, 14, 8, 1, 14, 8]), cell, np.array(pbc, dtype=bool)


@pytest.fixture
def melt():
    """Makes positions (1, N, 3), numbers and cell: O and Si at random in a skewed cell, about 0.06 atoms in a cubic angstrom."""

    def make(atoms, seed=0):
        rng, edge = np.random.default_rng(seed), (atoms / 0.06) ** (1 / 3)
        cell = edge * np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.15, 1]])
        return rng.uniform(-1, 2, (1, atoms, 3)) @ cell, rng.choice([8, 14], atoms), cell

    return make


@pytest.fixture
def networks():
    """Makes random networks for a descriptor."""

    def make(descriptor, hidden=(9, 5)):
        rng, sizes = np.random.default_rng(3), (descriptor.length, *hidden, 1)
        layers = tuple(
            tuple((rng.normal(0, 0.1, (out, into)), rng.normal(0, 0.1, out)) for into, out in itertools.pairwise(sizes))
            for _ in descriptor.species
        )
        ones = np.ones((len(layers), descriptor.length))
        return network.networks(layers, "tanh", 0.3 * ones, ones)

    return make
