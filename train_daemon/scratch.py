"""Arrays that grow in nameless files on local scratch, mapped into memory: the system keeps there what it has room for."""

from __future__ import annotations

import math
import mmap
import os
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from kernels.arrays import Array
from protocol.errors import EnvironmentFailed


class ScratchArray:
    """Rows of one shape and type; appended, never changed. The file has no name and ends with the process."""

    def __init__(self, folder: Path | None, row: tuple[int, ...], dtype: DTypeLike) -> None:
        """folder: on local scratch; None: where temporary files go (TMPDIR).  row: shape of one row.

        Raises EnvironmentFailed if the folder does not take files.
        """
        self.folder, self.row, self.dtype = folder, row, np.dtype(dtype)
        try:
            self._handle, name = tempfile.mkstemp(dir=folder, prefix="renkei-")
            os.unlink(name)
        except OSError as error:
            raise no_room(error, self.folder) from error
        self._count = 0
        self._view: Array | None = None

    def __del__(self) -> None:
        """Give the file back; a view that is still there keeps its pages."""
        if hasattr(self, "_handle"):
            os.close(self._handle)

    @property
    def rows(self) -> Array:
        """All rows, (n, *row), as a view of the file."""
        if self._view is None:
            size = self._count * math.prod(self.row) * self.dtype.itemsize
            pages = mmap.mmap(self._handle, size) if size else b""
            self._view = np.frombuffer(pages, self.dtype).reshape(self._count, *self.row)
        return self._view

    def append(self, rows: Array) -> None:
        """Add rows (m, *row); ValueError for other ones.

        Raises EnvironmentFailed if there is no room; what was there before stays.
        """
        given = np.ascontiguousarray(rows, self.dtype)
        if given.shape[1:] != self.row:
            raise ValueError(f"rows of shape {given.shape[1:]}, expected {self.row}")
        if given.size:
            at = self._count * math.prod(self.row) * self.dtype.itemsize
            try:
                _write(self._handle, given, at)
            except OSError as error:
                raise no_room(error, self.folder) from error
        self._count, self._view = self._count + len(given), None


def no_room(error: OSError, folder: Path | None) -> EnvironmentFailed:
    """What is said where scratch takes no file or is full.  folder: None for that of temporary files."""
    what, where = f"features cannot be kept on scratch: {error.strerror}", str(folder or tempfile.gettempdir())
    return EnvironmentFailed(what, where, "make room there, or set trainer.scratch to another folder")


def _write(handle: int, rows: Array, at: int) -> None:
    """All of an array, whatever one call takes."""
    left = memoryview(rows.tobytes())
    while len(left):
        done = os.pwrite(handle, left, at)
        left, at = left[done:], at + done
