"""What this side has published, for the copy on the other side: items in order, and their bytes on request."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from protocol import atomic, epochs, jsontext, names, scan, weights
from protocol.epochs import EpochRecord
from protocol.errors import EnvironmentFailed, ProtocolError, RenkeiError
from protocol.replica.wire import BODY, LARGEST_ITEM, MOST_FILES, MOST_ITEMS, File, Held, Item

log = logging.getLogger("renkei.channel")


class Source:
    """The published files of one role. Reads only."""

    def __init__(self, root: Path, role: str) -> None:
        self._folder, self._kind = root / role, names.kind(role)
        self._records: dict[int, EpochRecord] = {}
        self._items: dict[tuple[int, int], Item] = {}
        self._bad: set[Path] = set()
        self._row_bytes: dict[int, int] = {}  # of epochs that have ended

    def update(self) -> None:
        """Look at the newest epoch; the first time, and when an epoch is new, at all of them."""
        numbers = epochs.numbers(self._folder)
        for number in numbers if set(numbers) - set(self._records) else numbers[-1:]:
            if number not in self._records:
                try:
                    record = epochs.read(self._folder / names.epoch(number))
                except ProtocolError as error:
                    log.warning("epoch %d cannot be sent: %s", number, error)
                    continue
                if record is None:
                    continue
                self._records[number] = record
            self._look(self._records[number])

    def ids(self) -> dict[int, str]:
        """Epoch -> its id."""
        return {number: record.id for number, record in self._records.items()}

    def after(self, held: Mapping[int, Held]) -> list[Item]:
        """The next items, at most MOST_ITEMS, that a copy lacks; an epoch's rows go before the start of the next epoch."""
        found: list[Item] = []
        for number in sorted(self._records):
            have = held.get(number)
            if have is None:
                found.append(self._start(number))
            last = -1 if have is None else have.last
            found += [item for place, item in sorted(self._items.items()) if place[0] == number and place[1] > last]
            if len(found) >= MOST_ITEMS or self._lacks_rows(number, 0 if have is None else have.rows):
                break
        return found[:MOST_ITEMS]

    def read(self, epoch: int, number: int, name: str, offset: int, size: int) -> bytes | None:
        """Bytes of an item's file; None where no item has such a file. A name is looked up, never joined to a path."""
        item = self._start(epoch) if number < 0 and epoch in self._records else self._items.get((epoch, number))
        if item is None or name not in {file.name for file in item.files}:
            return None
        return _part(self._records[epoch].folder / name, offset, min(size, BODY))

    def rows(self, held: Mapping[int, Held]) -> tuple[int, int, bytes] | None:
        """Epoch, offset and bytes of the journal that a copy lacks next; None for nothing."""
        for number in sorted(self._records):
            have = held.get(number)
            if have is None:
                return None
            data = _part(self._records[number].folder / names.JOURNAL, have.rows, BODY)
            if len(data) < BODY:  # the end of the file: half a row waits for its other half
                data = data[: data.rfind(b"\n") + 1]
            if data:
                return number, have.rows, data
        return None

    def heartbeat(self) -> tuple[int, bytes] | None:
        """The newest epoch and the bytes of its heartbeat."""
        if not self._records:
            return None
        newest = max(self._records)
        data = _part(self._records[newest].folder / names.HEARTBEAT, 0, BODY)
        return (newest, data) if data else None

    def _look(self, record: EpochRecord) -> None:
        for path in scan.triggers(record.folder):
            name = names.parse_trigger(path.name)
            if name is None or (record.number, name[1]) in self._items or path in self._bad:
                continue
            try:
                self._items[record.number, name[1]] = self._message(record, path, name[1])
            except (EnvironmentFailed, FileNotFoundError) as error:  # cannot be read now: neither it nor what follows is offered
                log.warning("%s cannot be sent yet: %s", path, error)
                return
            except (RenkeiError, OSError, LookupError, TypeError, ValueError) as error:
                self._bad.add(path)
                log.warning("%s cannot be sent: %s", path, error)

    def _message(self, record: EpochRecord, path: Path, number: int) -> Item:
        data = atomic.read_bytes(path, scan.LIMIT)
        told = jsontext.loads(data, path)
        payload = names.payload(self._kind, number)
        trigger = File(str(names.trigger(self._kind, number)), len(data), atomic.digest_of(data))
        if int(told["size"]) + len(data) > LARGEST_ITEM:
            raise ProtocolError(f"more than {LARGEST_ITEM} bytes, which no transport takes", str(path))
        if self._kind == "batch":
            return Item(record.number, number, (File(str(payload), int(told["size"]), str(told["digest"])), trigger))
        folder = record.folder / payload
        if len(digests := weights.read_card(folder).files) > MOST_FILES - 2:
            raise ProtocolError(f"more than {MOST_FILES - 2} files", str(folder))
        digests = {**digests, names.CARD: str(told["digest"])}
        inner = (File(str(payload / name), (folder / name).stat().st_size, digest) for name, digest in digests.items())
        return Item(record.number, number, (*inner, trigger))

    def _start(self, number: int) -> Item:
        """The item of an epoch's beginning."""
        folder = self._records[number].folder
        found = []
        for name in (names.RESOLVED, names.EPOCH_JSON):
            if (folder / name).is_file():
                data = atomic.read_bytes(folder / name, epochs.LIMIT)
                found.append(File(name, len(data), atomic.digest_of(data)))
        return Item(number, -1, tuple(found))

    def _lacks_rows(self, number: int, rows: int) -> bool:
        """Whether a copy of an epoch that has ended lacks rows: the next one says how many of them count."""
        if number == max(self._records):
            return False
        if number not in self._row_bytes:
            path = self._records[number].folder / names.JOURNAL
            data = atomic.read_bytes(path) if path.is_file() else b""
            self._row_bytes[number] = data.rfind(b"\n") + 1
        return rows < self._row_bytes[number]


def _part(path: Path, offset: int, size: int) -> bytes:
    """Bytes of a file from `offset` on; empty where there are none."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except FileNotFoundError:
        return b""
