"""Where a daemon's wall time goes: one activity at a time, their sum is the whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

OTHER = "other"


class ActivityClock:
    """Seconds per activity since creation; whatever no activity claims is "other". Monotonic clock."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = dict.fromkeys([*names, OTHER], 0.0)
        self._clock = clock
        self._now = OTHER
        self._since = clock()
        self._lap = dict(self._seconds)

    @contextmanager
    def doing(self, name: str) -> Iterator[None]:
        """Charge the time of the body to `name`; a nested activity takes over until it ends. ValueError for a new name."""
        if name not in self._seconds:
            raise ValueError(f"no activity called {name!r}: {sorted(self._seconds)}")
        outer = self._now
        self._switch(name)
        try:
            yield
        finally:
            self._switch(outer)

    def totals(self) -> dict[str, float]:
        """Seconds per activity; their sum is the time since creation."""
        self._switch(self._now)
        return dict(self._seconds)

    def lap(self) -> dict[str, float]:
        """Seconds per activity since the last call of `lap`."""
        now = self.totals()
        spent = {name: seconds - self._lap[name] for name, seconds in now.items()}
        self._lap = now
        return spent

    def _switch(self, name: str) -> None:
        now = self._clock()
        self._seconds[self._now] += now - self._since
        self._now, self._since = name, now
