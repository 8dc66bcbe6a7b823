"""Triggers of one role -> verified packets. The rescan is the truth; what was found good once is not read again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from protocol import atomic, batch, epochs, jsontext, names, weights
from protocol.epoch import TRIGGER_SCHEMA
from protocol.epochs import EpochRecord
from protocol.errors import EnvironmentFailed, ProtocolError, Torn, VersionClash, WrongPeer
from protocol.records import Packet

LIMIT = 2**20  # bytes of a trigger


class Finding(Enum):
    """What a trigger turned out to be."""

    VALID = "valid"
    LATE = "late"  # not all of it is visible yet
    REFUSED = "refused"


@dataclass(frozen=True)
class Entry:
    """One trigger of one epoch."""

    finding: Finding
    role: str
    epoch: int
    number: int  # -1: the name is not a trigger's
    trigger: Path  # (or the epoch.json that cannot be read)
    packet: Packet | None = None
    after: int | None = None  # number of the publication before it; None: it is the first of its epoch
    retracted: bool = False  # a later epoch did not adopt it
    reason: str = ""  # why refused, or what is missing

    @property
    def place(self) -> tuple[int, int]:
        """Order of delivery."""
        return self.epoch, self.number


@dataclass(frozen=True)
class _Bad:
    """A trigger that was refused."""

    mark: object  # of its files, then
    entry: Entry
    gap: int  # looks between two readings
    due: int  # look of the next one


class Scan:
    """The triggers of one role, over all its epochs."""

    def __init__(self, root: Path, role: str) -> None:
        self._folder, self._role = root / role, role
        self._kind, self._sender = names.kind(role), names.sender(role)
        self._good: dict[Path, tuple[Packet, int | None]] = {}
        self._bad: dict[Path, _Bad] = {}
        self._looks = 0
        self._records: dict[int, EpochRecord] = {}
        self._broken: dict[int, Entry] = {}  # epochs whose epoch.json cannot be read: nothing of them counts

    def update(self) -> list[Entry]:
        """All triggers that are visible now, in order of epoch and number."""
        self._looks += 1
        records = self._read_records()
        entries = list(self._broken.values())
        for record in records:
            ceiling = epochs.ceiling(record.number, records, self._kind)
            for path in triggers(record.folder):
                entry = self._entry(record, path, ceiling)
                if entry is not None:
                    entries.append(entry)
        return sorted(entries, key=lambda entry: (*entry.place, entry.trigger.name))

    def _read_records(self) -> list[EpochRecord]:
        for number in epochs.numbers(self._folder):
            if number in self._records:
                continue
            folder = self._folder / names.epoch(number)
            self._broken.pop(number, None)
            try:
                record = epochs.read(folder)
            except EnvironmentFailed:
                continue  # cannot be read now
            except ProtocolError as error:
                path = folder / names.EPOCH_JSON
                self._broken[number] = Entry(Finding.REFUSED, self._role, number, -1, path, reason=str(error))
                continue
            if record is not None:  # else a late directory entry
                self._records[number] = record
        return [self._records[number] for number in sorted(self._records)]

    def _entry(self, record: EpochRecord, path: Path, ceiling: float) -> Entry | None:
        known = self._good.get(path)
        if known is None:
            entry = self._judge(record, path)
            if entry is None:
                return None
            if entry.packet is None:
                return replace(entry, retracted=entry.number > ceiling)
            known = self._good[path] = (entry.packet, entry.after)
        packet, after = known
        return Entry(
            Finding.VALID, self._role, record.number, packet.number, path, packet, after, retracted=packet.number > ceiling
        )

    def _judge(self, record: EpochRecord, path: Path) -> Entry | None:
        name = names.parse_trigger(path.name)
        if name is None and path.suffix != ".trigger":
            return None  # not meant for us
        number = -1 if name is None else name[1]
        mark = (_mark(path), _mark(record.folder / names.payload(self._kind, max(number, 0))))
        before = self._bad.get(path)
        if before is not None and before.mark == mark and self._looks < before.due:
            return before.entry
        try:
            packet, after = self._verified(record, path, name)
            return Entry(Finding.VALID, self._role, record.number, number, path, packet, after)
        except (FileNotFoundError, _Late) as late:
            reason = str(late) if isinstance(late, _Late) else f"{late.filename}: not there"
            return Entry(Finding.LATE, self._role, record.number, number, path, reason=reason)
        except (OSError, EnvironmentFailed) as error:  # a file server that fails now may serve later
            return Entry(Finding.LATE, self._role, record.number, number, path, reason=str(error))
        except ProtocolError as error:
            entry = Entry(Finding.REFUSED, self._role, record.number, number, path, reason=str(error))
            # bytes of a network file system may come after their size and time: it is read again, ever more seldom
            gap = 1 if before is None or before.mark != mark else 2 * before.gap
            self._bad[path] = _Bad(mark, entry, gap, self._looks + gap)
            return entry

    def _verified(self, record: EpochRecord, path: Path, name: tuple[str, int] | None) -> tuple[Packet, int | None]:
        content = _read_trigger(path)
        expected = {
            "kind": self._kind,
            "sender": self._sender,
            "epoch": record.number,
            "epoch_id": record.id,
            "number": None if name is None else name[1],
        }
        wrong = [key for key, value in expected.items() if content.get(key) != value]
        if name is None or name[0] != self._kind or wrong:
            about = wrong[0] if wrong else "file name"
            raise WrongPeer(f"not a trigger of this run and sender ({about})", str(path))
        payload = record.folder / names.payload(self._kind, name[1])
        digest, size, facts, after = (content.get(key) for key in ("digest", "size", "facts", "after"))
        if not (isinstance(digest, str) and isinstance(size, int) and isinstance(facts, dict) and isinstance(after, int)):
            raise Torn("a trigger without digest, size, facts or predecessor", str(path))
        packet = Packet(self._kind, self._sender, record.number, name[1], digest, payload, facts)
        _check_payload(packet, size)
        return packet, after if after > record.adopts.last(self._kind) else None


class _Late(Exception):
    """Bytes that are not visible yet."""


def triggers(epoch_folder: Path) -> Iterator[Path]:
    """Everything visible in the folder of an epoch's triggers, in order of names."""
    try:
        entries = sorted(os.listdir(epoch_folder / names.TRIGGERS))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in entries:
        if not name.startswith("."):  # a publication under way
            yield epoch_folder / names.TRIGGERS / name


def _read_trigger(path: Path) -> dict[str, Any]:
    data = atomic.read_bytes(path, LIMIT)
    if not data:
        raise _Late(f"{path}: empty")  # Lustre shows the name before the bytes; a trigger of ours is never empty
    content = jsontext.loads(data, path)
    if "epoch_id" not in content:
        raise WrongPeer("a JSON file, but not a trigger of this program", str(path))
    if content.get("schema") != TRIGGER_SCHEMA:
        raise VersionClash(
            f"trigger of schema {content.get('schema')}", str(path), "use the same version of renkei on both sides"
        )
    return content


def _check_payload(packet: Packet, size: int) -> None:
    """Digest, content, and that the content is the sender's. size: bytes of the whole payload."""
    visible = weights.size(packet.path) if packet.kind == "weights" else packet.path.stat().st_size
    if visible < size:
        raise _Late(f"{packet.path}: {visible} of {size} bytes")
    if packet.kind == "batch" and visible > size:
        raise Torn(f"{visible} bytes, the trigger says {size}", str(packet.path))
    if packet.kind == "weights":
        if weights.verify(packet.path, packet.digest).generation != packet.number:
            raise WrongPeer("the card is of another generation", str(packet.path))
        return
    labels = batch.load(atomic.read_verified(packet.path, packet.digest))
    if labels.origins[0].simulator != packet.sender:
        raise WrongPeer(f"labels of simulator {labels.origins[0].simulator}", str(packet.path))
    if packet.facts.get("count") != len(labels.labels):
        raise Torn(f"{len(labels.labels)} labels, the trigger says {packet.facts.get('count')}", str(packet.path))


def _mark(path: Path) -> object:
    """Changes when the file, or a file of the folder, does."""
    try:
        status = [inner.stat() for inner in (path, *(sorted(path.iterdir()) if path.is_dir() else ()))]
    except OSError:
        return None
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in status]
