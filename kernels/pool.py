"""Structures that do not change, each with its own neighbours, for the compiled kernels: what a trainer goes through often.

Nothing but positions and lists of neighbours is kept, on scratch: memory holds what there is room for. Distances, angles and
polynomials are computed when they are wanted.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from ctypes import byref, c_int32
from pathlib import Path

import numpy as np

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev
from kernels.native import Loops, shaped, threads

System = tuple[Array, Array, Array, Array]  # positions (N, 3) A, numbers (N,), cell (3, 3) A, pbc (3,)


class Pool:
    """Grows only. Rows of its arrays are the atoms of the chosen structures, one structure after another.

    dtype: of the two products, float32 or float64; features are always float64.
    folder: on local scratch; None: where temporary files go (TMPDIR).
    Raises ValueError where the compiled kernels are absent or not made for the descriptor, OSError where scratch takes no file
    or, later, has no room.
    """

    def __init__(self, descriptor: Chebyshev, dtype: type = np.float32, folder: Path | None = None) -> None:
        self.dtype, self.length = dtype, descriptor.length
        self._full = Loops(descriptor)
        self._loops = Loops(descriptor, single=True) if dtype == np.float32 else self._full
        self._library = self._full.library
        self._folder, error = str(folder or tempfile.gettempdir()), c_int32()
        self._pool = self._library.renkei_pool_new(os.fsencode(self._folder), byref(error))
        self._checked(error.value)
        self.starts = np.zeros(1, dtype=np.int64)  # (n + 1,) first atom of each structure, all in one row

    def __del__(self) -> None:
        """Give the memory back."""
        if getattr(self, "_pool", None):
            self._library.renkei_pool_free(self._pool)

    def add(self, systems: Sequence[System]) -> None:
        """Find the neighbours of more structures."""
        for positions, numbers, cell, pbc in systems:
            system, species = self._full.system(numbers, cell, pbc)
            positions = shaped(positions, (len(species), 3), "positions")
            system.structures, system.atoms, system.positions = 1, len(species), positions.ctypes.data
            self._checked(self._library.renkei_pool_add(self._pool, self._full.handle, byref(system)))
        sizes = [len(numbers) for _, numbers, _, _ in systems]
        self.starts = np.concatenate([self.starts, self.starts[-1] + np.cumsum(sizes, dtype=np.int64)])

    def values(self, chosen: Array) -> Array:
        """Features (A, F).  chosen: (B,) numbers of structures."""
        features = np.empty((self._rows(chosen), self.length))
        self._call("values", self._full, chosen, features)
        return features

    def pull_back(self, chosen: Array, gradient: Array) -> tuple[Array, Array]:
        """Forces (A, 3) and virial (B, 3, 3) for dE/dG (A, F).  chosen: (B,)."""
        rows = self._rows(chosen)
        gradient = shaped(gradient, (rows, self.length), "gradient", self.dtype)
        forces: Array = np.empty((rows, 3), self.dtype)
        virial: Array = np.empty((len(chosen), 3, 3), self.dtype)
        self._call("pull_back", self._loops, chosen, gradient, forces, virial)
        return forces, virial

    def push_forward(self, chosen: Array, direction: Array, strain: Array | None = None) -> Array:
        """Change of the features (A, F) along a direction (A, 3).  chosen: (B,).

        strain: (B, 3, 3); each vector between two atoms also moves by its structure's strain times itself.
        """
        rows = self._rows(chosen)
        direction = shaped(direction, (rows, 3), "direction", self.dtype)
        strain = None if strain is None else shaped(strain, (len(chosen), 3, 3), "strain", self.dtype)
        change: Array = np.empty((rows, self.length), self.dtype)
        self._call("push_forward", self._loops, chosen, direction, strain, change)
        return change

    def _rows(self, chosen: Array) -> int:
        """A, the atoms of the chosen structures."""
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self.starts) - 1):
            raise IndexError(f"structures {chosen.min()} to {chosen.max()} of a pool of {len(self.starts) - 1}")
        return int((self.starts[chosen + 1] - self.starts[chosen]).sum())

    def _call(self, name: str, loops: Loops, chosen: Array, *arrays: Array | None) -> None:
        chosen = np.ascontiguousarray(chosen, np.int64)
        places = [None if array is None else array.ctypes.data for array in arrays]
        function = getattr(self._library, f"renkei_pool_{name}")
        if function(loops.handle, self._pool, threads(), len(chosen), chosen.ctypes.data, *places):
            raise MemoryError(f"no memory for {len(chosen)} structures of a pool")

    def _checked(self, error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error), self._folder)


def compiled_pool(descriptor: Chebyshev, dtype: type = np.float32, folder: Path | None = None) -> Pool | None:
    """An empty pool, or None where the compiled kernels are absent or not made for the descriptor."""
    try:
        return Pool(descriptor, dtype, folder)
    except ValueError:
        return None
