"""JSON as this project writes and reads it: strict, numpy numbers made plain, non-finite numbers written as null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protocol.errors import Torn


def dumps(value: Any, indent: int | None = None) -> bytes:
    """UTF-8 bytes of a value of mappings, sequences, arrays, numbers and strings; nan and infinity become null."""
    return json.dumps(plain(value), indent=indent, allow_nan=False, ensure_ascii=False).encode()


def loads(data: bytes, where: Path | str) -> dict[str, Any]:
    """The JSON object in `data`, or Torn."""
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Torn("not JSON", str(where)) from error
    if not isinstance(value, dict):
        raise Torn("not a JSON object", str(where))
    return value


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
