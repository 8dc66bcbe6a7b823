"""Fixtures of the kernels' tests: small systems with a known answer or none in particular."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def aenet_reference() -> Path | None:
    """The folder of aenet's reference features, or None where there is none."""
    root = os.environ.get("RENKEI_REFERENCE_DATA")
    return Path(root) / "aenet-descriptors" if root else None


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
