"""The decorators of the compiled loops.

Inside a loop only its own counter may index an array that should become vector code: numba lets negative numbers count
from the end, and the test for it (in a[k + t], not in a[t]) stops the compiler. So slices first, counters from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from numba import njit

_FLOATS = {"reassoc", "contract", "arcp", "nsz"}  # not nnan, ninf: a NaN must come out as NaN
_OPENED: dict[str, Any] = {"fastmath": _FLOATS, "error_model": "numpy", "no_cfunc_wrapper": True, "nogil": True}
_INSIDE: dict[str, Any] = _OPENED | {"no_cpython_wrapper": True}


def _digest() -> str:
    """Digest of every source file below kernels/."""
    total = sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    return total.hexdigest()


_SOURCES = _digest()


def kernel(function: Callable[..., Any]) -> Any:
    """A loop that only other compiled loops call: it has no door to Python (a call would crash), which halves compile time."""
    return _cached(njit(**_INSIDE)(function))


def entry(function: Callable[..., Any]) -> Any:
    """A loop that Python calls; sequential, so that bits depend on the arguments alone."""
    return _cached(njit(**_OPENED)(function))


def _cached(compiled: Any) -> Any:
    """Keep the machine code on disk where some folder can be written, else compile in every process."""
    try:
        compiled.enable_caching()
    except RuntimeError:  # no folder for the cache
        return compiled
    # numba looks at the date of the function's own file; a changed callee elsewhere would go unseen
    compiled._cache._cache_file._source_stamp = _SOURCES
    return compiled
