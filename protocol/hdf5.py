"""HDF5 images in memory: no file locks, no half-read file, and nothing in a file may point outside of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from protocol.errors import ProtocolError, Torn, VersionClash
from protocol.records import Array

LONGEST_ATTRIBUTE = 2**16  # bytes
HEAP = b"GCOL\x01\0\0\0"  # how a heap of strings begins
DAMAGE = (  # what h5py, and code that trusts types, raise on other bytes than ours
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)


def image(write: Callable[[h5py.File], None]) -> bytes:
    """Bytes of an HDF5 file that `write` fills; the same content gives the same bytes."""
    with h5py.File("image", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        write(file)
        file.flush()
        return bytes(file.id.get_file_image())


def group(file: h5py.File, name: str) -> None:
    """Make a group that does not say when: groups made on the way to a dataset do, and the same content gives other bytes."""
    properties = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    properties.set_obj_track_times(False)
    h5py.h5g.create(file.id, name.encode(), gcpl=properties)


@contextmanager
def opened(data: bytes, what: str) -> Iterator[h5py.File]:
    """Read an image; whatever cannot be decoded is Torn. `what`: for the message."""
    try:
        _check_heaps(data)
        with h5py.File(h5py.h5f.open_file_image(data)) as file:
            yield file
    except ProtocolError:
        raise
    except DAMAGE as error:
        raise Torn(f"not a readable {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error


def array(file: h5py.File, name: str, shape: tuple[int | None, ...], kinds: str) -> Array:
    """One dataset, stored plainly in this file, of a shape (None: any length); Torn otherwise. kinds: as in `plain`."""
    data = plain(file, name, kinds)
    if len(data.shape) != len(shape) or any(want not in (None, have) for want, have in zip(shape, data.shape, strict=True)):
        raise Torn(f"{name}: shape {data.shape}, expected {tuple('any' if n is None else n for n in shape)}")
    return np.asarray(data[()])


def plain(file: h5py.File, name: str, kinds: str) -> h5py.Dataset:
    """One dataset whose every byte is stored plainly in this file; Torn otherwise. kinds: allowed numpy dtype.kind letters."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise Torn(f"{name}: no such dataset")
    data = file[name]
    # filters, virtual and external storage could blow up in memory or read another file; we never write them
    if data.shape is None or data.chunks is not None or data.is_virtual or data.external:
        raise Torn(f"{name}: not stored plainly")
    if data.dtype.kind not in kinds or data.dtype.itemsize > 16 or not _is_usual(data.id.get_type(), data.dtype):
        raise Torn(f"{name}: of type {data.dtype}")
    # a shape without its bytes costs nothing in the file and everything in memory
    if data.id.get_storage_size() != math.prod(data.shape) * data.id.get_type().get_size():
        raise Torn(f"{name}: shape {data.shape}, but {data.id.get_storage_size()} bytes")
    return data


def finite(file: h5py.File, name: str, shape: tuple[int | None, ...]) -> Array:
    """One dataset of finite numbers, as float64, of a shape (None: any length); Torn otherwise."""
    values = array(file, name, shape, "f").astype(np.float64)
    if not np.isfinite(values).all():
        raise Torn(f"{name}: has values that are not finite")
    return values


def check_schema(file: h5py.File, kind: str, schema: int) -> None:
    """The head of every file of ours: attributes `kind` and `schema`. Torn for another kind, VersionClash for another schema."""
    found = text(attribute(file, "kind")) if "kind" in file.attrs else ""
    if found != kind:
        raise Torn(f"not a {kind} of this program" + (f" but a {found[:40]}" if found else ""))
    number = attribute(file, "schema") if "schema" in file.attrs else None
    if not isinstance(number, np.integer) or number != schema:
        raise VersionClash(
            f"{kind} of schema {number}, this version reads {schema}", next="use the same version of renkei on both sides"
        )


def attribute(file: h5py.File, name: str) -> Any:
    """One number or string that stands at the file's root; KeyError if it is not there, Torn if it is something else."""
    found = file.attrs.get_id(name)
    if found.shape != () or found.get_storage_size() > LONGEST_ATTRIBUTE or not _is_usual(found.get_type(), found.dtype):
        raise Torn(f"attribute {name} is neither a number nor a string")
    return file.attrs[name]


def _check_heaps(data: bytes) -> None:
    """Go through the heaps of strings: one whose parts have no length, or reach beyond it, holds the library up for ever."""
    start = data.find(HEAP)
    while start >= 0:
        size = int.from_bytes(data[start + 8 : start + 16], "little")
        end, place = start + size, start + 16
        if not 16 <= size <= len(data) - start:
            raise Torn("a heap of strings is longer than the file")
        while place + 16 <= end:
            index, length = (
                int.from_bytes(data[place : place + 2], "little"),
                int.from_bytes(data[place + 8 : place + 16], "little"),
            )
            step = length if index == 0 else 16 + -(-length // 8) * 8  # index 0: what is free, its head included
            if step < 16 or place + step > end:
                raise Torn("a heap of strings has parts of absurd lengths")
            place += step
        start = data.find(HEAP, start + 16)


def _is_usual(stored: h5py.h5t.TypeID, dtype: np.dtype[Any]) -> bool:
    """Whether a type is one that this machine writes: on others (bits moved, other widths) the library may loop for ever."""
    if isinstance(stored, h5py.h5t.TypeStringID):
        return True
    return bool(stored == h5py.h5t.py_create(dtype, logical=True))


def text(value: Any) -> str:
    """A string attribute; Torn if it is none."""
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise Torn("an attribute is not a string")
    return value
