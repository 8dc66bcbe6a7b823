"""HDF5 images in memory: no file locks, no half-read file, and nothing in a file may point outside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from protocol.errors import ProtocolError, Torn, VersionClash
from protocol.records import Array


def image(write: Callable[[h5py.File], None]) -> bytes:
    """Bytes of an HDF5 file that `write` fills; the same content gives the same bytes."""
    with h5py.File("image", "w", driver="core", backing_store=False, libver=("v110", "v110")) as file:
        write(file)
        file.flush()
        return bytes(file.id.get_file_image())


@contextmanager
def opened(data: bytes, what: str) -> Iterator[h5py.File]:
    """Read an image; whatever cannot be decoded is Torn. `what`: for the message."""
    try:
        with h5py.File(h5py.h5f.open_file_image(data)) as file:
            yield file
    except ProtocolError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, UnicodeError) as error:
        raise Torn(f"not a readable {what}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error


def array(file: h5py.File, name: str, shape: tuple[int | None, ...], kinds: str) -> Array:
    """One dataset, stored plainly in this file. shape: None = any length. kinds: allowed numpy dtype.kind letters."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise Torn(f"{name}: no such dataset")
    data = file[name]
    # filters, virtual and external storage could blow up in memory or read another file; we never write them
    if data.shape is None or data.chunks is not None or data.is_virtual or data.external:
        raise Torn(f"{name}: not stored plainly")
    if len(data.shape) != len(shape) or any(want not in (None, have) for want, have in zip(shape, data.shape, strict=True)):
        raise Torn(f"{name}: shape {data.shape}, expected {tuple('any' if n is None else n for n in shape)}")
    if data.dtype.kind not in kinds:
        raise Torn(f"{name}: of type {data.dtype}")
    return np.asarray(data[()])


def finite(file: h5py.File, name: str, shape: tuple[int | None, ...]) -> Array:
    """One dataset of finite numbers, as float64."""
    values = array(file, name, shape, "f").astype(np.float64)
    if not np.isfinite(values).all():
        raise Torn(f"{name}: has values that are not finite")
    return values


def check_schema(file: h5py.File, kind: str, schema: int) -> None:
    """The head of every file of ours: attributes `kind` and `schema`."""
    found = text(file.attrs.get("kind", ""))
    if found != kind:
        raise Torn(f"not a {kind} of this program" + (f" but a {found[:40]}" if found else ""))
    number = file.attrs.get("schema")
    if not isinstance(number, np.integer) or number != schema:
        raise VersionClash(
            f"{kind} of schema {number}, this version reads {schema}", next="use the same version of renkei on both sides"
        )


def text(value: Any) -> str:
    """A string attribute."""
    if isinstance(value, bytes):
        return value.decode()
    if not isinstance(value, str):
        raise Torn("an attribute is not a string")
    return value
