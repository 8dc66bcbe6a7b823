"""I am alive; is the other alive. A counter moves; nobody compares clocks of two machines."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protocol import atomic, jsontext, process
from protocol.errors import RenkeiError
from protocol.records import PeerState

PERIOD_S = 2.0
STALE_PERIODS = 10  # no movement for so many periods of my clock: gone
LIMIT = 2**20

logger = logging.getLogger("renkei.heartbeat")


class Heartbeat:
    """A thread that rewrites heartbeat.json every period."""

    def __init__(self, path: Path, period_s: float = PERIOD_S) -> None:
        """Starts at once; the first beat is on disk when this returns."""
        self._path, self._period_s = path, period_s
        self._facts: dict[str, Any] = {}
        self._state = PeerState.ALIVE
        self._counter = 0
        self._failures = 0
        self.failure: str | None = None  # why the last beat could not be written; None: it was
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._who = process.identity()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def update(self, state: PeerState | str | None = None, **facts: Any) -> None:
        """Facts (and the state) for the next beat; older facts stay."""
        with self._lock:
            self._facts.update(facts)
            if state is not None:
                self._state = PeerState(state)

    def close(self, state: PeerState | str = PeerState.GONE) -> None:
        """Stop the thread and write a last beat with `state`."""
        self._stop.set()
        self._thread.join()
        self.update(state)
        self._beat()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            self._beat()

    def _beat(self) -> None:
        with self._lock:
            self._counter += 1
            beat = {
                **self._facts,
                **self._who,
                "schema": 1,
                "counter": self._counter,
                "state": str(self._state),
                "period_s": self._period_s,
                "failed_beats": self._failures,
                "unix": time.time(),
            }
        try:
            atomic.replace_bytes(self._path, jsontext.dumps(beat), durable=False)
            self.failure = None
        except (RenkeiError, OSError) as error:  # a full disk must not end the thread: the next beat may succeed
            if self.failure is None:
                logger.warning("heartbeat not written: %s", error)
            self._failures += 1
            self.failure = str(error)


class PeerWatch:
    """State of the daemon that writes one heartbeat.json, as far as its counter tells."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic, silence_s: float = 0.0) -> None:
        """silence_s: how long the counter may stand still at least, on a file system whose nodes see each other's files late."""
        self._path, self._clock, self._silence_s = path, clock, silence_s
        self._counter: object = None
        self._moved_at = clock()
        self._beat: dict[str, Any] | None = None

    def state(self) -> PeerState:
        """ABSENT without a heartbeat; GONE after a last beat, a dead process of this machine, or a counter that stands still."""
        beat = read(self._path)
        if beat is not None:
            self._beat = beat
            if beat["counter"] != self._counter:
                self._counter, self._moved_at = beat["counter"], self._clock()
        if self._beat is None:
            return PeerState.ABSENT
        if self._beat["state"] == PeerState.GONE or process.is_gone(self._beat):
            return PeerState.GONE
        if self._clock() - self._moved_at > max(STALE_PERIODS * self._beat["period_s"], self._silence_s):
            return PeerState.GONE
        return PeerState(self._beat["state"])

    def facts(self) -> dict[str, Any]:
        """The last heartbeat read; empty if none."""
        return dict(self._beat or {})


def read(path: Path) -> dict[str, Any] | None:
    """A heartbeat; None if there is none or it is not one."""
    try:
        beat = jsontext.loads(atomic.read_bytes(path, LIMIT), path)
    except (OSError, RenkeiError):
        return None
    period, state = beat.get("period_s"), beat.get("state")
    sound = isinstance(beat.get("counter"), int) and isinstance(period, int | float) and 0 < period < 3600
    return beat if sound and isinstance(state, str) and state in set(PeerState) else None
