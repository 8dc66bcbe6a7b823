"""JSON as this project writes and reads it: strict, numpy numbers made plain, non-finite numbers written as null.

A sealed object ends with the key "crc": CRC-32 (eight hexadecimal digits) of its text without that key.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protocol.errors import Torn

_SEAL = re.compile(rb',\n? "crc": "([0-9a-f]{8})"(\n?\})\Z')
_SEAL_LENGTH = 24  # bytes at most


def dumps(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 bytes of a value of mappings, sequences, arrays, numbers and strings; nan and infinity become null."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False).encode()


def seal(text: bytes) -> bytes:
    """The text of an object that is not empty, as `dumps` gives it, with its check sum in it."""
    end = b"\n}" if text.endswith(b"\n}") else b"}"
    gap = b"\n " if end == b"\n}" else b" "
    return text.removesuffix(end) + b',%s"crc": "%08x"%s' % (gap, zlib.crc32(text), end)


def loads(data: bytes, where: Path | str) -> dict[str, Any]:
    """The JSON object in `data`, without its seal; Torn if it is none, or if the check sum of a sealed one does not fit."""
    seal = _SEAL.search(data, max(0, len(data) - _SEAL_LENGTH))
    if seal is not None:
        data = data[: seal.start()] + seal[2]
        if zlib.crc32(data) != int(seal[1], 16):
            raise Torn("its check sum does not fit its text", str(where))
    try:
        value = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Torn("not JSON", str(where)) from error
    if not isinstance(value, dict):
        raise Torn("not a JSON object", str(where))
    return value


def is_sealed(data: bytes) -> bool:
    """Whether the text of an object ends with a check sum."""
    return _SEAL.search(data, max(0, len(data) - _SEAL_LENGTH)) is not None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def plain(value: Any) -> Any:
    """The same value in Python's own types: numpy arrays and tuples as lists, non-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int) else str(value)
