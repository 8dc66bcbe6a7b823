"""A measurement in a process of its own, so that its memory is its own."""

from __future__ import annotations

import os
import re
import threading
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


def memory_MiB(key: str = "VmHWM") -> float:
    """A figure of this process's memory in /proc/self/status; Linux.

    VmHWM: the most it has held (ru_maxrss of a new process begins with what its parent held when it started it); VmRSS: what it
    holds; RssAnon: of that, what has no file behind it, so cannot be given back; RssFile: pages of files.
    """
    found = re.search(rf"^{key}:\s*(\d+) kB", Path("/proc/self/status").read_text("ascii"), re.MULTILINE)
    assert found is not None, "needs Linux"
    return int(found[1]) / 1024


class Watch:
    """The largest RssAnon while it is open, by looking often."""

    LOOK_S = 0.005

    def __init__(self) -> None:
        self.most_MiB = memory_MiB("RssAnon")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(self.LOOK_S):
            self.most_MiB = max(self.most_MiB, memory_MiB("RssAnon"))
