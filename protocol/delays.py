"""Time-outs of a run: the defaults, or longer ones where `renkei doctor RUN --peer` has measured a slow view of its files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from protocol import atomic, jsontext, names
from protocol.errors import RenkeiError

LATE_S = 60.0  # how long later messages wait for one whose directory entry is late
MARGIN = 10.0  # times the slowest view that was measured
LONGEST_S = 3600.0
LIMIT = 2**16


@dataclass(frozen=True)
class Delays:
    """What a daemon of a run waits for."""

    late_s: float  # for a message that others of its sender follow
    silence_s: float  # of a heartbeat, before its daemon counts as gone; 0: the heartbeat's own period says it
    view_s: float  # slowest view that was measured; 0: none was


def of_run(root: Path) -> Delays:
    """The time-outs of a run folder, never shorter than the defaults; what cannot be read was not measured."""
    slowest = max(map(_slowest_s, (root / names.JOBS).glob(names.probe("*"))), default=0.0)
    long = min(MARGIN * slowest, LONGEST_S)
    return Delays(max(LATE_S, long), long, slowest)


def _slowest_s(path: Path) -> float:
    try:
        found = jsontext.loads(atomic.read_bytes(path, LIMIT), path).get("slowest_s")
    except (OSError, RenkeiError):
        return 0.0
    return float(found) if isinstance(found, int | float) and math.isfinite(found) and found > 0 else 0.0
