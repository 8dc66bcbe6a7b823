"""Which simulators feed this trainer: who has joined, who has left and how."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from protocol import names
from protocol.channels.base import Channel
from protocol.epoch import Epoch
from protocol.records import PeerState
from protocol.store import Store

JOINED = "joined"
SAID = {
    JOINED: "works (its start {})",
    "completed": "has completed its production",
    "left": "has stopped",
    "died": "has ended without a word",
}


@dataclass
class Attendance:
    """Notes every coming and going in the journal, the log and the heartbeat.

    What earlier starts have noted is no news, nor is the end of a simulator that no trainer has seen at work.
    """

    store: Store
    epoch: Epoch
    channel: Channel
    log: logging.Logger
    _noted: dict[str, tuple[int, str]] = field(init=False)  # last note of each simulator: its epoch, and what
    _found: dict[str, tuple[int, int]] = field(init=False)  # the beats that lay there when this start began

    def __post_init__(self) -> None:
        rows = [row for row in self.store.all_rows(names.TRAIN) if row.get("event") == "simulator"]
        self._noted = {row["simulator"]: (row["epoch"], row["what"]) for row in rows}
        self._found = {name: self._beat(name) for name in self.store.simulators()}

    def look(self) -> None:
        """Compare with the last look."""
        states = self.channel.peers()
        for name, state in states.items():
            number, what = self.store.newest_epoch(names.simulator_role(name)), self._noted.get(name, (0, ""))
            if state.has_ended and what[1] == JOINED:
                self._note(name, number, self._end(name))
            # a beat of long ago says alive as well: one that has not moved since this start began tells nothing
            elif state.works and what != (number, JOINED) and self._beat(name) != self._found.get(name):
                self._note(name, number, JOINED)
        self.epoch.heartbeat.update(simulators={name: str(state) for name, state in states.items()})

    def _beat(self, name: str) -> tuple[int, int]:
        """The newest epoch of a simulator and the counter of its heartbeat."""
        role = names.simulator_role(name)
        return self.store.newest_epoch(role), (self.store.heartbeat(role) or {}).get("counter", 0)

    def _end(self, name: str) -> str:
        """How a simulator that works no longer has ended."""
        role = names.simulator_role(name)
        beat = self.store.heartbeat(role)
        ended = beat is not None and PeerState(beat["state"]).has_ended
        return "completed" if self.store.complete(role) else "left" if ended else "died"

    def _note(self, name: str, number: int, what: str) -> None:
        self.log.info("simulator %s %s", name, SAID[what].format(number))
        self.epoch.journal.append({"event": "simulator", "simulator": name, "epoch": number, "what": what})
        self._noted[name] = number, what
