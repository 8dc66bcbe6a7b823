"""The copy of a role in this side's store: fetched in chunks, verified, then made durable in the order of publication."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocol import atomic, epochs, journal, jsontext, names, scan, weights
from protocol.epoch import FOLDERS
from protocol.errors import EnvironmentFailed, ProtocolError, RenkeiError, Torn, WrongPeer
from protocol.replica.wire import BODY, File, Held, Item

WINDOW = 16  # chunks on their way to us
AHEAD = 2**27  # bytes that are planned beyond the item in hand

log = logging.getLogger("renkei.channel")


@dataclass(frozen=True)
class Chunk:
    """A part of a file of an item."""

    item: Item
    file: File
    offset: int
    size: int

    @property
    def last(self) -> bool:
        """Whether the file ends with it."""
        return self.offset + self.size == self.file.size

    def question(self) -> dict[str, Any]:
        """The fields by which it is asked for."""
        return {"epoch": self.item.epoch, "number": self.item.number, "name": self.file.name, "offset": self.offset}


class Target:
    """The copy of one role. What is there already is found by looking at the folder, so a restart goes on where it was."""

    def __init__(self, root: Path, role: str) -> None:
        """Raises WrongPeer where the folder of this role is no copy but that of a daemon that starts here."""
        self.role, self._kind, self._folder = role, names.kind(role), root / role
        numbers = epochs.numbers(self._folder)
        if numbers and not (self._folder / names.REPLICA).is_file():
            what = f"this folder is the one in which {role} itself has started"
            next = "give the other side a run folder of its own, or take `channel: {name: files}`"
            raise WrongPeer(what, str(self._folder), next)
        self.held = {number: held for number in numbers if (held := self._look(number)) is not None}
        self.beat = ""  # digest of the last heartbeat written
        self._queue: deque[Item] = deque()
        self._plan: deque[Chunk] = deque()
        self._asked: deque[Chunk] = deque()
        self._part = bytearray()
        self._done: dict[str, bytes] = {}
        self._passed: set[tuple[int, int]] = set()  # what did not fit its digest
        self.moved = 0  # counts what has come, so that a standstill is seen

    # --- what is wanted -------------------------------------------------------------------------

    def offer(self, items: list[Item]) -> None:
        """Plan to fetch what is new of an offer, as far as memory should go ahead."""
        for item in items:
            ahead = sum(file.size for queued in self._queue for file in queued.files)
            if self._is_next(item) and (not self._queue or ahead < AHEAD):
                self._queue.append(item)
                self._plan.extend(self._chunks(item))

    def questions(self) -> list[Chunk]:
        """Chunks to ask for now."""
        asked = []
        while self._plan and len(self._asked) < WINDOW:
            self._asked.append(self._plan.popleft())
            asked.append(self._asked[-1])
        return asked

    @property
    def waits(self) -> bool:
        """Whether something was asked for that has not come."""
        return bool(self._asked)

    @property
    def idle(self) -> bool:
        """Whether nothing is wanted."""
        return not self._queue

    def forget(self) -> None:
        """Give up what is under way; the next offer begins anew with what is durable."""
        self._queue.clear()
        self._plan.clear()
        self._asked.clear()
        self._part.clear()
        self._done.clear()

    # --- what comes -----------------------------------------------------------------------------

    def data(self, chunk: tuple[int, int, str, int], body: bytes) -> bool:
        """A chunk; True if it completed an item. One that was not asked for next (twice, late, made up) is passed over."""
        if not self._asked:
            return False
        want = self._asked[0]
        if chunk != (want.item.epoch, want.item.number, want.file.name, want.offset):
            return False
        if len(body) != want.size:  # cut, or gone, since it was published
            self._pass(want.item, f"{want.file.name} of epoch {want.item.epoch} is not as long as its trigger says")
            return False
        self._asked.popleft()
        self.moved += 1
        self._part += body
        if not want.last:
            return False
        whole = bytes(self._part)
        self._part.clear()
        if atomic.digest_of(whole) != want.file.digest:
            self._pass(want.item, f"{want.file.name} of epoch {want.item.epoch} does not fit its digest")
            return False
        self._done[want.file.name] = whole
        return self._settle()

    def rows(self, epoch: int, offset: int, body: bytes) -> bool:
        """Bytes of a journal, for people and reports; only those that follow what is there. True if they were taken."""
        held = self.held.get(epoch)
        if held is None or offset != held.rows or not body:
            return False
        path = self._folder / names.epoch(epoch) / names.JOURNAL
        there = path.stat().st_size if path.is_file() else 0
        if there != offset:  # another process of this role writes it too
            self.held[epoch] = replace(held, rows=there)
            return False
        file = atomic.open_place(path)  # not at the end: another process of this machine may write the same bytes just now
        try:
            atomic.write_at(file, body, offset, path)
            atomic.sync(file, path)
        finally:
            atomic.close(file)
        self.held[epoch] = replace(held, rows=offset + len(body))
        self.moved += 1
        return True

    def heartbeat(self, epoch: int, body: bytes) -> None:
        """The sender's heartbeat, into the newest epoch if it is of that."""
        if self.held and epoch == max(self.held):
            atomic.replace_bytes(self._folder / names.epoch(epoch) / names.HEARTBEAT, body, durable=False)
            self.beat = atomic.digest_of(body)

    # --- making it durable ----------------------------------------------------------------------

    def _settle(self) -> bool:
        """Install what is complete at the head of the queue; True if something was."""
        installed = False
        while self._queue and all(file.name in self._done or self._there(file, self._queue[0]) for file in self._queue[0].files):
            item = self._queue[0]
            try:
                self._install(item)
            except EnvironmentFailed:
                self.forget()
                raise
            except (ProtocolError, OSError) as error:
                self._pass(item, str(error))
                return installed
            self._queue.popleft()
            self._done.clear()
            installed = True
            self.moved += 1
        return installed

    def _install(self, item: Item) -> None:
        if item.number < 0:
            self._install_epoch(item)
            return
        held, home = self.held[item.epoch], self._folder / names.epoch(item.epoch)
        trigger = self._done[item.files[-1].name]
        _check_trigger(trigger, item, self._kind, names.sender(self.role), held.id)
        payload = home / names.payload(self._kind, item.number)
        if self._kind == "batch":
            if item.files[0].name in self._done:
                atomic.publish_bytes(payload, self._done[item.files[0].name])
        else:
            mine = not payload.is_dir()
            if mine:
                mine = _publish_folder(payload, {Path(file.name).name: self._done[file.name] for file in item.files[:-1]})
            if not mine:
                weights.verify(payload, item.files[-2].digest)
        atomic.publish_bytes(home / item.files[-1].name, trigger)
        self.held[item.epoch] = replace(held, last=item.number)

    def _install_epoch(self, item: Item) -> None:
        path = self._folder / names.epoch(item.epoch)
        record = epochs.parse(self._done[names.EPOCH_JSON], path)
        if record.role != self.role:
            raise WrongPeer(f"a start of {record.role}, not of {self.role}", "channel")
        atomic.make_folder(self._folder)
        if not (self._folder / names.REPLICA).is_file():
            atomic.replace_bytes(self._folder / names.REPLICA, jsontext.dumps({"schema": 1, "role": self.role}))
        _publish_folder(path, {file.name: self._done[file.name] for file in item.files}, FOLDERS[self._kind])
        held = self._look(item.epoch)
        if held is None or held.id != record.id:
            raise WrongPeer(f"another start has the number {item.epoch} here", str(path))
        atomic.link_name(self._folder / names.CURRENT, path.name)
        self.held[item.epoch] = held

    def _pass(self, item: Item, why: str) -> None:
        """Refuse an item: as with a damaged message in a shared folder, those after it are taken."""
        log.warning("%s: not taken: %s", self.role, why)
        self._passed.add((item.epoch, item.number))
        self.forget()

    # --- looking --------------------------------------------------------------------------------

    def _is_next(self, item: Item) -> bool:
        place = (item.epoch, item.number)
        if place in self._passed or any(place <= (queued.epoch, queued.number) for queued in self._queue):
            return False
        held = self.held.get(item.epoch)
        if item.number < 0:
            return held is None
        coming = any((queued.epoch, queued.number) == (item.epoch, -1) for queued in self._queue)
        return coming if held is None else item.number > held.last

    def _chunks(self, item: Item) -> list[Chunk]:
        chunks = []
        for file in item.files:
            if not self._there(file, item):
                starts = range(0, file.size, BODY) or [0]
                chunks += [Chunk(item, file, start, min(BODY, file.size - start)) for start in starts]
        return chunks

    def _there(self, file: File, item: Item) -> bool:
        """Whether a payload's file is durable here already: a crash came between it and its trigger."""
        if item.number < 0 or file is item.files[-1]:
            return False
        path = self._folder / names.epoch(item.epoch) / file.name
        return path.is_file() and path.stat().st_size == file.size and atomic.sha256(path) == file.digest

    def _look(self, number: int) -> Held | None:
        folder = self._folder / names.epoch(number)
        try:
            record = epochs.read(folder)
        except RenkeiError:
            record = None
        if record is None:
            return None
        found = [names.parse_trigger(path.name) for path in scan.triggers(folder)]
        return Held(record.id, max((name[1] for name in found if name), default=-1), _mended(folder / names.JOURNAL))


def _mended(path: Path) -> int:
    """Bytes of a journal's good rows; what a crash left behind them is cut off and will come again."""
    data = atomic.read_bytes(path) if path.is_file() else b""
    good = journal.parse(data)[1]
    if good < len(data):
        file = atomic.open_append(path)
        try:
            atomic.cut(file, good, path)
        finally:
            atomic.close(file)
    return good


def _check_trigger(data: bytes, item: Item, kind: str, sender: str, epoch_id: str) -> None:
    """Torn unless this trigger announces exactly this item's payload: a published name can never be replaced."""
    told = jsontext.loads(data, "channel")
    main = item.files[-2]
    expected = {"kind": kind, "sender": sender, "epoch": item.epoch, "epoch_id": epoch_id, "number": item.number}
    wrong = [key for key, value in expected.items() if told.get(key) != value]
    size = sum(file.size for file in item.files[:-1])
    if wrong or told.get("digest") != main.digest or told.get("size") != size:
        raise Torn(
            f"a trigger of {kind} {item.number} that does not fit what comes with it ({(wrong or ['digest'])[0]})", "channel"
        )


def _publish_folder(path: Path, files: dict[str, bytes], folders: tuple[str, ...] = ()) -> bool:
    """A folder of these files (and empty folders) appears whole and durable; False if another process of this role was faster."""
    tmp = atomic.make_temporary_folder(path)
    try:
        for name in folders:
            atomic.make_folder(tmp / name)
        for name, data in files.items():
            atomic.publish_bytes(tmp / name, data)
        atomic.publish_folder(tmp, path)
    except FileExistsError:
        return False
    finally:
        atomic.discard(tmp)
    return True
