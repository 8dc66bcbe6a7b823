"""Messages through the shared folder. The periodic rescan is the truth; watchdog only makes it come early."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from protocol import names
from protocol.channels.base import Place
from protocol.epoch import Epoch
from protocol.records import Packet, PeerState
from protocol.scan import Entry, Finding
from protocol.settings import Section
from protocol.store import Store


class Settings(Section):
    """The folder itself."""

    name: str = "files"
    poll_s: float = Field(0.5, gt=0, le=600)  # time between two looks at the folder


def build(
    settings: Settings, store: Store, role: str, epoch: Epoch, start_after: Mapping[str, Place] | None = None
) -> FilesChannel:
    """The channel of one daemon. start_after: sender -> (epoch, number) of the last message that needs no delivery."""
    return FilesChannel(settings.poll_s, store, role, epoch, start_after or {})


class FilesChannel:
    """See base.Channel."""

    def __init__(
        self,
        poll_s: float,
        store: Store,
        role: str,
        epoch: Epoch,
        start_after: Mapping[str, Place],
        clock: Callable[[], float] = time.monotonic,
        observed: bool = True,
    ) -> None:
        """observed: ask the system for hints; else only `wake` makes a look come early."""
        self._poll_s, self._store, self._role, self._epoch, self._clock = poll_s, store, role, epoch, clock
        self._patience_s = store.delays.late_s
        self._done = {sender: (place[0], place[1]) for sender, place in start_after.items()}
        self._cursor: dict[str, list[int]] = {sender: list(place) for sender, place in self._done.items()}
        self._delivered: dict[tuple[str, int, int], Packet] = {}
        self._taken_back: set[tuple[str, int, int]] = set()
        self._first_seen: dict[tuple[str, tuple[int, int | None]], float] = {}
        self._quarantined: set[tuple[Path, str]] = set()
        self._hint = threading.Event()
        self._observer: Any = _start_observer() if observed else None
        self._watched: set[Path] = set()

    def receive(self, timeout_s: float) -> list[Packet]:
        """New verified messages, in order per sender; waits at most `timeout_s` for the first one."""
        end = self._clock() + timeout_s
        while True:
            self._hint.clear()
            self._watch()
            packets = [packet for role in self._senders() for packet in self._new(role)]
            left = end - self._clock()
            if packets or left <= 0:
                return packets
            self._hint.wait(min(self._poll_s, left))

    def acknowledge(self, packet: Packet) -> None:
        """The heartbeat tells people how far this side has come."""
        self._cursor[packet.sender] = max(self._cursor.get(packet.sender, [0, -1]), [packet.epoch, packet.number])
        self._epoch.heartbeat.update(cursor={sender: list(place) for sender, place in self._cursor.items()})

    def retracted(self) -> list[Packet]:
        """Messages received earlier that a later epoch of their sender did not adopt; each once."""
        found = []
        for role in self._senders():
            for entry in self._store.entries(role):
                packet = entry.packet
                if packet is None or not entry.retracted:
                    continue
                received = _key(packet) in self._delivered or entry.place <= self._done.get(packet.sender, (0, 0))
                if received and _key(packet) not in self._taken_back:
                    self._taken_back.add(_key(packet))
                    found.append(packet)
        return found

    def peers(self) -> dict[str, PeerState]:
        """State of every daemon on the other side, by name."""
        return {names.sender(role): self._store.peer(role) for role in self._senders()}

    def wake(self) -> None:
        """Look at once; from any thread."""
        self._hint.set()

    def close(self) -> None:
        """Stop listening."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def _senders(self) -> list[str]:
        if self._role == names.TRAIN:
            return [names.simulator_role(name) for name in self._store.simulators()]
        return [names.TRAIN]

    def _new(self, role: str) -> list[Packet]:
        entries = self._store.entries(role)
        known = {entry.place for entry in entries}
        new: list[Packet] = []
        for entry in entries:
            if entry.finding is Finding.REFUSED:
                self._quarantine(entry)
                continue
            missing = entry.place if entry.packet is None else (entry.epoch, entry.after)
            late = entry.packet is None or (entry.after is not None and missing not in known)
            if entry.retracted:
                continue
            if late and self._still_waiting(role, missing):
                break  # in order: nothing after it is delivered before it
            if entry.packet is None:
                self._quarantine(replace(entry, reason=f"{entry.reason} after {self._patience_s:g} s; it is passed over"))
            elif self._is_new(entry, entry.packet):
                if late:
                    self._note_gap(entry)
                self._delivered[_key(entry.packet)] = entry.packet
                new.append(entry.packet)
        return new

    def _still_waiting(self, role: str, place: tuple[int, int | None]) -> bool:
        since = self._first_seen.setdefault((role, place), self._clock())
        return self._clock() - since < self._patience_s

    def _is_new(self, entry: Entry, packet: Packet) -> bool:
        return _key(packet) not in self._delivered and entry.place > self._done.get(packet.sender, (0, -1))

    def _quarantine(self, entry: Entry) -> None:
        if (entry.trigger, entry.reason) in self._quarantined:
            return
        self._quarantined.add((entry.trigger, entry.reason))
        prefix = f"{names.sender(entry.role)}-{names.epoch(entry.epoch)}"
        self._epoch.quarantine(entry.trigger, f"{prefix}-{entry.trigger.name}", entry.reason)
        if entry.number >= 0:
            payload = entry.trigger.parent.parent / names.payload(names.kind(entry.role), entry.number)
            self._epoch.quarantine(payload, f"{prefix}-{payload.name}", entry.reason)

    def _note_gap(self, entry: Entry) -> None:
        """Say that the message before this one never came."""
        lost = f"{names.kind(entry.role)} {entry.after} of {names.sender(entry.role)}'s epoch {entry.epoch}"
        reason = f"{lost} is not there after {self._patience_s:g} s, though later ones are; it is passed over until it comes"
        missing = entry.trigger.parent.parent / names.trigger(names.kind(entry.role), entry.after or 0)
        name = f"{names.sender(entry.role)}-{names.epoch(entry.epoch)}-{missing.name}"
        self._epoch.quarantine(missing, name, reason)

    def _watch(self) -> None:
        """Ask for a hint about the trigger folders of the newest epochs."""
        for role in self._senders() if self._observer is not None else []:
            heartbeat = self._store.heartbeat_path(role)
            folder = None if heartbeat is None else heartbeat.parent / names.TRIGGERS
            if folder is not None and folder not in self._watched:
                self._watched.add(folder)
                with suppress(OSError, RuntimeError):  # inotify's limits: the rescan does the work
                    self._observer.schedule(_doorbell(self._hint), str(folder))


def _key(packet: Packet) -> tuple[str, int, int]:
    return packet.sender, packet.epoch, packet.number


def _start_observer() -> Any:
    """A running watchdog observer; None where there is no such service."""
    try:
        from watchdog.observers import Observer

        observer = Observer()
        observer.start()
    except (ImportError, OSError, RuntimeError):
        return None
    return observer


def _doorbell(hint: threading.Event) -> Any:
    """A watchdog handler that sets `hint` when a trigger appears."""
    from watchdog.events import FileSystemEvent, FileSystemEventHandler

    class Doorbell(FileSystemEventHandler):
        def on_any_event(self, event: FileSystemEvent) -> None:
            if str(event.dest_path or event.src_path).endswith(".trigger"):
                hint.set()

    return Doorbell()
