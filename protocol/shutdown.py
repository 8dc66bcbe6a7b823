"""One question for both daemons: is there a reason to end? Signals, control files, time, and what the daemon adds."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from protocol import names
from protocol.errors import Exit

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Shutdown:
    """Collects the reasons to end; made in the main thread. The second SIGINT ends the process at once."""

    def __init__(
        self,
        deadline_s: float | None,
        controls: Callable[[], set[str]],
        clock: Callable[[], float] = time.monotonic,
        also: Callable[[], str | None] = lambda: None,
    ) -> None:
        """deadline_s: seconds from now; None: no end. controls: names of the control files that count for this epoch.

        also: a further reason to end; None: there is none.
        """
        self._clock, self._controls, self._also = clock, controls, also
        self._deadline = None if deadline_s is None else clock() + deadline_s
        self._signal: signal.Signals | None = None
        self._reason: str | None = None
        self._before: dict[signal.Signals, Any] = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def reason(self) -> str | None:
        """Why to end; None: go on. A reason once given stays."""
        if self._reason is None:
            self._reason = self._find()
        return self._reason

    @property
    def exit_code(self) -> int:
        """130 after SIGINT, else 0."""
        return int(Exit.INTERRUPTED if self._signal is signal.SIGINT else Exit.DONE)

    def paused(self) -> bool:
        """Whether the PAUSE file asks for a pause."""
        return names.PAUSE in self._controls()

    def seconds_left(self) -> float | None:
        """Seconds to the deadline; None without one."""
        return None if self._deadline is None else self._deadline - self._clock()

    def too_late_for(self, seconds: float) -> bool:
        """Whether work of this length would not be done before the deadline."""
        left = self.seconds_left()
        return left is not None and seconds > left

    def restore(self) -> None:
        """Put the signal handlers back that were there before."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def _find(self) -> str | None:
        if self._signal is not None:
            return self._signal.name
        left = self.seconds_left()
        if left is not None and left <= 0:
            return "time is up"
        return "STOP file" if names.STOP in self._controls() else self._also()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not signal.SIGINT:
            self._signal = signal.Signals(number)
        if number == signal.SIGINT:
            # the default action needs no interpreter: it ends a process that is deep inside an engine call
            signal.signal(signal.SIGINT, signal.SIG_DFL)
