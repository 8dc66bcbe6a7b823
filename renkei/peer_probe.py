"""How fast what one node writes is seen by another, and how far their clocks are apart: two doctors answer each other's probes.

Each writes in a folder of its own below RUN/jobs/probes/: `ping.json` with its newest number, and `pong.json` with the newest
number that it has seen of every other one. No clock is compared to find the delay: it is half of the way there and back.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import atomic, jsontext, names, process
from protocol.errors import Torn

PINGS = 5
POLL_S = 0.05
FAREWELL_S = 5.0  # the other one needs our answers too
LIMIT = 2**16


@dataclass(frozen=True)
class Measured:
    """What an exchange with one other doctor has shown."""

    host: str
    delay_s: float  # one way, median; half of the way there and back
    slowest_s: float
    clock_s: float  # how far its clock is ahead of ours


class Probe:
    """One side."""

    def __init__(self, run: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.folder = run / names.JOBS / "probes" / uuid.uuid4().hex[:12]
        atomic.make_folder(self.folder)
        self._number, self._sent, self._sent_clock = 0, 0.0, 0.0
        self._trips: list[tuple[float, float]] = []  # seconds there and back, clock difference
        self._answered: dict[str, int] = {}
        self._host = ""
        self._ping()

    def turn(self) -> Measured | None:
        """One look at the others; the result once there are enough answers. Answers others even afterwards.

        What an earlier doctor left is answered too: nobody reads it, and it holds no answer to us.
        """
        for name in sorted(path.name for path in self.folder.parent.iterdir() if path.name != self.folder.name):
            ping = self._read(name, "ping")
            if ping is None:
                continue
            if self._answered.get(name) != ping["number"]:
                self._answered[name] = ping["number"]
                self._write("pong", {"answers": self._answered, "unix": self._clock()})
            self._hear(ping, self._read(name, "pong"))
        if len(self._trips) < PINGS:
            return None
        ways = [trip / 2 for trip, _ in self._trips]
        clock = statistics.median(difference for _, difference in self._trips)
        return Measured(self._host, statistics.median(ways), max(ways), clock)

    def close(self) -> None:
        """Remove our folder."""
        atomic.discard(self.folder)

    def _hear(self, ping: dict[str, Any], pong: dict[str, Any] | None) -> None:
        if pong is None or pong["answers"].get(self.folder.name) != self._number or len(self._trips) >= PINGS:
            return
        trip = time.monotonic() - self._sent
        self._trips.append((trip, pong["unix"] - (self._sent_clock + trip / 2)))
        self._host = str(ping["host"])
        self._ping()

    def _ping(self) -> None:
        self._number += 1
        self._sent, self._sent_clock = time.monotonic(), self._clock()
        self._write("ping", {"number": self._number, "host": process.identity()["host"]})

    def _write(self, kind: str, content: dict[str, Any]) -> None:
        atomic.replace_bytes(self.folder / f"{kind}.json", jsontext.dumps(content), durable=False)

    def _read(self, name: str, kind: str) -> dict[str, Any] | None:
        path = self.folder.parent / name / f"{kind}.json"
        try:
            return jsontext.loads(atomic.read_bytes(path, LIMIT), path)
        except (OSError, Torn):
            return None


def meet(run: Path, patience_s: float) -> Measured | None:
    """Exchange probes with a doctor on another node that runs at the same time; None if nobody answers in time.

    The result is also kept in RUN/jobs/probe-HOST.json, HOST the other one's; the run's time-outs follow it (protocol/delays.py).
    """
    probe = Probe(run)
    end, found = time.monotonic() + patience_s, None
    try:
        while time.monotonic() < end:
            measured = probe.turn()
            if measured is not None and found is None:
                found, end = measured, time.monotonic() + FAREWELL_S
            time.sleep(POLL_S)
    finally:
        probe.close()
    if found is not None:
        atomic.replace_bytes(run / names.JOBS / names.probe(found.host), jsontext.dumps(vars(found), indent=1))
    return found
