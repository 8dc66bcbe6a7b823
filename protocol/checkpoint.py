"""Frozen state of a daemon <-> one file: nested mappings and lists of arrays, numbers, strings, bytes and None.

Layout: a 512-byte header with the digest of the rest, then HDF5: `tree` (JSON, with references) and `arrays/NNNN`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from protocol import hdf5
from protocol.errors import ProtocolError, Torn
from protocol.records import Array

KIND, SCHEMA = "renkei-checkpoint", 1
HEADER = 512  # HDF5 looks for its signature at 0, 512, 1024, ...: the file opens in any HDF5 program
MARK = "$array"  # in the tree: {"$array": [number, "array" | "bytes"]}


def dump(state: Mapping[str, Any]) -> bytes:
    """Bytes of a state. Tuples come back as lists, numpy scalars as Python numbers, arrays with their type and shape."""
    arrays: list[tuple[str, Array]] = []
    tree = json.dumps(_fold(state, "", arrays)).encode()

    def write(file: h5py.File) -> None:
        file.attrs["kind"], file.attrs["schema"] = KIND, SCHEMA
        file.create_dataset("tree", data=np.frombuffer(tree, np.uint8))
        hdf5.group(file, "arrays")
        for number, (where, values) in enumerate(arrays):
            file.create_dataset(f"arrays/{number:04d}", data=values).attrs["name"] = where

    body = hdf5.image(write)
    return f"{KIND} sha256:{hashlib.sha256(body).hexdigest()}\n".encode().ljust(HEADER, b"\0") + body


def load(data: bytes) -> dict[str, Any]:
    """The state in `data`; Torn if a bit of it differs from what was written."""
    head, body = data[:HEADER].rstrip(b"\0"), data[HEADER:]
    words = head.split()
    if len(words) != 2 or words[0] != KIND.encode():
        raise Torn("not a checkpoint of this program")
    if words[1] != f"sha256:{hashlib.sha256(body).hexdigest()}".encode():
        raise Torn("the checkpoint's digest does not match its bytes")
    with hdf5.opened(body, "checkpoint") as file:
        hdf5.check_schema(file, KIND, SCHEMA)
        tree = json.loads(hdf5.array(file, "tree", (None,), "u").tobytes().decode())
        state = _unfold(tree, file)
    if not isinstance(state, dict):
        raise Torn("the checkpoint's state is not a mapping")
    return state


def _fold(value: Any, where: str, arrays: list[tuple[str, Array]]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) or key == MARK for key in value):
            raise ProtocolError(f"a checkpoint's keys are strings, not {list(value)[:3]}", where)
        return {key: _fold(inner, f"{where}/{key}", arrays) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_fold(inner, f"{where}/{index}", arrays) for index, inner in enumerate(value)]
    if isinstance(value, bytes):
        arrays.append((where, np.frombuffer(value, np.uint8)))
        return {MARK: [len(arrays) - 1, "bytes"]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        arrays.append((where, value))
        return {MARK: [len(arrays) - 1, "array"]}
    raise ProtocolError(f"cannot put {type(value).__name__} into a checkpoint", where)


def _unfold(value: Any, file: h5py.File) -> Any:
    if isinstance(value, list):
        return [_unfold(inner, file) for inner in value]
    if not isinstance(value, dict):
        return value
    if MARK in value:
        number, form = value[MARK]
        stored = np.asarray(hdf5.plain(file, f"arrays/{number:04d}", "biufc")[()])
        return stored.tobytes() if form == "bytes" else stored
    return {key: _unfold(inner, file) for key, inner in value.items()}
