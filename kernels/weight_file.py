"""Reading HDF5 files of weights that may be damaged or hostile."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py
import numpy as np

from kernels.arrays import Array

Model = TypeVar("Model")


def read_verified(path: Path, parse: Callable[[h5py.File, int], Model], digest_of: Callable[[Model], str]) -> Model:
    """The model of a file whose attribute `digest` is that of the model.

    parse: makes it of the open file and its size in bytes.
    Raises ValueError if the file is missing, damaged or of another layout.
    """
    try:
        data = path.read_bytes()
        with h5py.File(io.BytesIO(data), "r") as file:
            model, digest = parse(file, len(data)), str(file.attrs["digest"])
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, IndexError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path} is damaged or not a model of this format: {str(error).splitlines()[0]}") from error
    if digest != digest_of(model):
        raise ValueError(f"{path} is damaged: its numbers do not match its digest")
    return model


def dataset(folder: h5py.Group, name: str, size: int) -> Array:
    """A float64 dataset that lies in this file as it says: a hostile one could name another file, or expand without end.

    name: its place below the folder.  size: of the file in bytes.  Raises ValueError, or KeyError if it is absent.
    """
    place, _, own = name.rpartition("/")
    group = folder[place] if place else folder
    found = group[own]
    inside = isinstance(group.get(own, getlink=True), h5py.HardLink) and isinstance(found, h5py.Dataset)
    if not inside or found.is_virtual or found.external or found.chunks is not None or found.dtype != "<f8":
        raise ValueError(f"{own} is not a plain float64 array")
    if 8 * found.size > size:
        raise ValueError(f"{own} claims more numbers than the file has bytes")
    return np.array(found)
