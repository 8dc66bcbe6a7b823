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
        return self._call("values", self._full, chosen, (self.length, np.float64))

    def pull_back(self, chosen: Array, gradient: Array) -> Array:
        """Forces (A, 3) for dE/dG (A, F).  chosen: (B,)."""
        return self._call("pull_back", self._loops, chosen, (3, self.dtype), gradient)

    def push_forward(self, chosen: Array, direction: Array) -> Array:
        """Change of the features (A, F) along a direction (A, 3).  chosen: (B,)."""
        return self._call("push_forward", self._loops, chosen, (self.length, self.dtype), direction)

    def _call(self, name: str, loops: Loops, chosen: Array, made: tuple[int, type], *given: Array) -> Array:
        chosen = np.ascontiguousarray(chosen, np.int64)
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self.starts) - 1):
            raise IndexError(f"structures {chosen.min()} to {chosen.max()} of a pool of {len(self.starts) - 1}")
        rows = int((self.starts[chosen + 1] - self.starts[chosen]).sum())
        width = self.length if name == "pull_back" else 3
        arrays = [shaped(array, (rows, width), "rows", self.dtype) for array in given]
        result: Array = np.empty((rows, made[0]), made[1])
        function = getattr(self._library, f"renkei_pool_{name}")
        places = [array.ctypes.data for array in (*arrays, result)]
        if function(loops.handle, self._pool, threads(), len(chosen), chosen.ctypes.data, *places):
            raise MemoryError(f"no memory for {len(chosen)} structures of a pool")
        return result

    def _checked(self, error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error), self._folder)


def compiled_pool(descriptor: Chebyshev, dtype: type = np.float32, folder: Path | None = None) -> Pool | None:
    """An empty pool, or None where the compiled kernels are absent or not made for the descriptor."""
    try:
        return Pool(descriptor, dtype, folder)
    except ValueError:
        return None
