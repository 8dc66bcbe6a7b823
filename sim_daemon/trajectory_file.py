"""Closed trajectory segments, H5MD-style: /particles/all/position/{value,step}, species, box of each state, phase of each row."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import h5py
import numpy as np

from kernels.arrays import Array
from protocol.records import Phase, Structure


class Frame(NamedTuple):
    """The state after one step."""

    step: int
    phase: Phase
    block: int
    positions: Array  # (W, P, N, 3) A
    cells: Array  # (W, 3, 3) A


def dump(frames: Sequence[Frame], base: Structure) -> bytes:
    """An HDF5 image of S frames of one system."""
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs["schema"] = 2
        file.attrs["units"] = "Angstrom"
        everything = file.create_group("particles/all")
        everything.attrs["pbc"] = base.pbc
        positions = np.array([f.positions for f in frames])
        everything.create_dataset("position/value", data=positions, compression="gzip", compression_opts=1, shuffle=True)
        everything["position/step"] = np.array([f.step for f in frames])
        everything["species"] = base.numbers
        everything["box"] = np.array([f.cells for f in frames])
        file["observables/phase"] = np.array([int(f.phase is Phase.PRODUCTION) for f in frames])
        file["observables/block"] = np.array([f.block for f in frames])
    return image.getvalue()
