"""Time limit of calls that run inside this process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from protocol.errors import Exit
from sim_daemon.engines.base import EngineCrashed

GRACE_S = 30.0  # for code that looks at signals late; compiled code that never looks is ended with the process


class TimeLimit:
    """Stops a call after `timeout_s`: as EngineCrashed where Python still runs, else by ending the rank with exit code 3.

    The first way needs the main thread; elsewhere only the second works.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._deadline = float("inf")
        self._engine = ""
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, engine: str) -> Iterator[None]:
        """Watch over the body. Raises EngineCrashed when it takes too long."""
        self._start()
        main = threading.current_thread() is threading.main_thread()
        before: Any = None
        self._engine, self._deadline = engine, time.monotonic() + self._timeout_s + GRACE_S
        try:
            if main:
                before = signal.signal(signal.SIGALRM, self._interrupt)
                signal.setitimer(signal.ITIMER_REAL, self._timeout_s)
            yield
        finally:
            self._deadline = float("inf")
            if main:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        raise EngineCrashed(
            f"{self._engine} took longer than {self._timeout_s:g} s", next="raise engine.timeout_s if that is normal"
        )

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._watch, name="engine time limit", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        while time.monotonic() < self._deadline:
            time.sleep(min(1.0, GRACE_S / 2))
        hung = f"{self._engine} hangs: no answer after {self._timeout_s + GRACE_S:g} s"
        print(f"{hung}, and it cannot be interrupted; this rank ends", file=sys.stderr, flush=True)
        os._exit(Exit.ENGINE)
