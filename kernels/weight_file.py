"""Reading HDF5 files of weights that may be damaged or hostile."""

from __future__ import annotations

import h5py
import numpy as np

from kernels.arrays import Array


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
