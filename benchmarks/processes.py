"""A measurement in a process of its own, so that its memory is its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def alone(measure: Callable[..., Any], *given: Any) -> Any:
    """What `measure` returns in a new process with one thread; it is a function of a module."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def memory_MiB(peak: bool = True) -> float:
    """The most memory that this process has held, or what it holds now; Linux.

    Read from /proc: ru_maxrss of a new process begins with what its parent held when it started it.
    """
    key = "VmHWM" if peak else "VmRSS"
    found = re.search(rf"^{key}:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None, "needs Linux"
    return int(found[1]) / 1024
