"""One start of a daemon: its own folder, the only place where it writes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocol import atomic, batch, checkpoint, delays, epochs, heartbeat, jsontext, names, process, run_format, weights
from protocol.epochs import Adoption, EpochRecord
from protocol.errors import ProtocolError, RenkeiError, RoleTaken, Torn, WrongPeer
from protocol.heartbeat import Heartbeat
from protocol.journal import Journal
from protocol.records import Batch, Card, Packet, PeerState

TRIGGER_SCHEMA = 1
FOLDERS = {
    "batch": (names.BATCHES, names.TRIGGERS, names.TRAJECTORY, names.QUARANTINE),
    "weights": (names.WEIGHTS, names.TRIGGERS, names.QUARANTINE),
}


@dataclass(frozen=True)
class Adopted:
    """What this start takes over from the starts before it."""

    epoch: int  # the previous epoch; 0: there is none
    batch: int  # last batch that counts; -1: none
    generation: int  # last generation that counts; -1: none
    row: int  # rows of the previous epoch's journal that count
    checkpoint: dict[str, Any] | None  # already loaded
    tail: list[dict[str, Any]]  # the rows after that checkpoint, oldest first: what is repeated, with its schedule


class Epoch:
    """The writing side of a role. Made by `claim`. A superseded epoch publishes nothing more."""

    def __init__(self, root: Path, record: EpochRecord, adopted: Adopted, stale: dict[str, object], period_s: float) -> None:
        self.root, self.record, self.adopted = root, record, adopted
        self.role, self.number, self.folder = record.role, record.number, record.folder
        self._kind = names.kind(self.role)
        self._last = record.adopts.last(self._kind)
        self._used = epochs.highest(self.folder.parent, self._kind)
        self._stale = stale
        self.journal = Journal(self.folder / names.JOURNAL)
        self.heartbeat = Heartbeat(self.folder / names.HEARTBEAT, period_s)
        self.on_publication: Callable[[], None] = lambda: None  # a transport is told of each message

    def superseded(self) -> bool:
        """Whether a newer start of this role exists: then stop, and write nothing more."""
        return max(epochs.numbers(self.folder.parent), default=0) > self.number

    @property
    def next_number(self) -> int:
        """A number that no message of this role has had, in any epoch, adopted or not."""
        return max(self._last, self._used) + 1

    def publish_batch(self, number: int, labels: Batch, facts: Mapping[str, Any]) -> Packet:
        """Publish labels; numbers grow. facts: go into the trigger (phase, generation, ...); count and fingerprint are added.

        After an error the same call again completes what was begun.
        """
        self._check(number, "batch")
        data = batch.dump(labels)
        path = self.folder / names.payload("batch", number)
        self._put(path, data)
        facts = {"count": len(labels.labels), "fingerprint": labels.labels[0].fingerprint, **facts}
        return self._trigger(number, path, atomic.digest_of(data), len(data), facts)

    def publish_weights(self, generation: int, write: Callable[[Path], Card], facts: Mapping[str, Any]) -> Packet:
        """Publish a model; generations grow.

        write: puts the learner's files into an empty folder and returns the card (its `files` are filled in here).
        Raises ProtocolError for a card of another generation.
        """
        self._check(generation, "weights")
        path = self.folder / names.payload("weights", generation)
        tmp = atomic.make_temporary_folder(path)
        try:
            card = write(tmp)
            if card.generation != generation:
                raise ProtocolError(f"the card says generation {card.generation}, published as {generation}")
            digest = weights.write_card(tmp, replace(card, files=weights.digests(tmp)))
            size = weights.size(tmp)
            if path.is_dir() and atomic.sha256(path / names.CARD) == digest:
                atomic.make_folder(path)  # an attempt that failed half-way: its name on disk
            else:
                atomic.publish_folder(tmp, path)
        except FileExistsError as error:
            raise _taken(path) from error
        finally:
            atomic.discard(tmp)
        return self._trigger(generation, path, digest, size, {"format": card.format, "fingerprint": card.fingerprint, **facts})

    def publish_trajectory(self, number: int, data: bytes) -> Path:
        """Publish a closed trajectory segment; never changed afterwards. Its digest goes into the journal."""
        self._stop_if_superseded()
        path = self.folder / names.trajectory(number)
        self._put(path, data)
        self.journal.append({"event": "trajectory", "number": number, "digest": atomic.digest_of(data), "size": len(data)})
        return path

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Save what the next start adopts; `state["cursor"]` = {"batch", "generation", "row"} says up to where it includes the
        published batches, generations and the rows of this journal. The previous one is kept.

        Raises Torn for a state without a cursor, ProtocolError for one beyond the journal's end.
        """
        self._stop_if_superseded()
        at = epochs.cursor(state)
        if at["row"] > self.journal.rows_written:
            raise ProtocolError(f"cursor at row {at['row']}, the journal has {self.journal.rows_written}", str(self.folder))
        data = checkpoint.dump(state)
        self.journal.sync()  # a checkpoint must not include rows that a power cut could take away
        path = self.folder / names.CHECKPOINT
        if path.exists():
            atomic.move(path, self.folder / names.CHECKPOINT_PREVIOUS)
        atomic.replace_bytes(path, data)

    def write_text(self, name: str, text: str) -> None:
        """Write (or replace) a small text file of this epoch, durable. ProtocolError for a name with a folder in it."""
        if Path(name).name != name:
            raise ProtocolError(f"not a bare file name: {name}", str(self.folder))
        self._stop_if_superseded()
        atomic.replace_bytes(self.folder / name, text.encode())

    def quarantine(self, source: Path | bytes, name: str, reason: str) -> Path:
        """Keep a copy of what was refused, with the reason beside it in `name`.reason.txt; returns the copy's path.

        What cannot be copied (too large, no permission, gone) is described by the reason alone.
        """
        target = self.folder / names.QUARANTINE / Path(name).name
        if isinstance(source, bytes):
            atomic.replace_bytes(target, source)
        elif source.exists() and not target.exists():
            try:
                atomic.copy_tree(source, target)
            except (OSError, RenkeiError) as error:
                atomic.discard(target)
                reason = f"{reason} (no copy is kept: {error})"
        atomic.replace_bytes(target.with_name(f"{target.name}.reason.txt"), (" ".join(reason.split()) + "\n").encode())
        return target

    def fresh_controls(self) -> set[str]:
        """Names of the control files that were not there when this epoch started (or have been made anew since).

        A file for this daemon alone, "STOP-hot", counts as STOP too.
        """
        now = control_files(self.root)
        self._stale = {name: mark for name, mark in self._stale.items() if now.get(name) == mark}
        fresh = set(now) - set(self._stale)
        own = {word for word in names.CONTROLS if names.control(word, names.sender(self.role)) in fresh}
        return fresh | own

    def close(self, state: PeerState | str = PeerState.GONE) -> None:
        """Last rows on disk, last beat with `state` ("gone": the next start need not wait)."""
        try:
            self.journal.close()
        finally:
            self.heartbeat.close(state)

    def _check(self, number: int, kind: str) -> None:
        self._stop_if_superseded()
        if kind != self._kind or number <= self._last:
            raise ProtocolError(f"{kind} {number} cannot follow {self._kind} {self._last}", str(self.folder))

    def _stop_if_superseded(self) -> None:
        if self.superseded():
            raise RoleTaken(
                "a newer start of this daemon took over",
                f"{self.role}, epoch {self.number}",
                "this one ends and writes nothing more",
            )

    def _trigger(self, number: int, path: Path, digest: str, size: int, facts: Mapping[str, Any]) -> Packet:
        packet = Packet(self._kind, names.sender(self.role), self.number, number, digest, path, jsontext.plain(facts))
        content = {
            "schema": TRIGGER_SCHEMA,
            "kind": packet.kind,
            "sender": packet.sender,
            "epoch": self.number,
            "epoch_id": self.record.id,
            "number": number,
            "after": self._last,  # number of the publication before: tells a reader of a late directory entry
            "digest": digest,
            "size": size,
            "facts": packet.facts,
        }
        self._put(self.folder / names.trigger(self._kind, number), jsontext.seal(jsontext.dumps(content, indent=1)))
        self._last = number
        self.on_publication()
        return packet

    def _put(self, path: Path, data: bytes) -> None:
        try:
            atomic.publish_bytes(path, data)
        except FileExistsError as error:
            raise _taken(path) from error


def claim(root: Path, role: str, takeover: bool = False, period_s: float = heartbeat.PERIOD_S) -> Epoch:
    """Start a new epoch of a role. RoleTaken if a living daemon plays it (unless `takeover`)."""
    folder = root / role
    names.sender(role)  # refuses a role that is none
    refuse_replica(folder)
    atomic.make_folder(folder)
    run_format.sign(root)
    while True:
        newest = _newest(folder)
        if newest is not None and not takeover:
            refuse_if_alive(newest, period_s, delays.of_run(root).view_s)
        adoption, saved = (Adoption(), None) if newest is None else epochs.adopt(newest)
        stale = control_files(root)
        number = max(epochs.numbers(folder), default=0) + 1
        path = folder / names.epoch(number)
        record = EpochRecord(
            role, number, uuid.uuid4().hex, process.identity(), adoption, tuple(sorted(stale)), time.time(), path
        )
        try:
            _make(record, saved)
        except FileExistsError:
            continue  # another start was faster: look at it
        atomic.link_name(folder / names.CURRENT, path.name)
        state = None if saved is None else checkpoint.load(saved)
        tail = epochs.tail_rows(folder, adoption)
        adopted = Adopted(adoption.epoch, adoption.batch, adoption.generation, adoption.row, state, tail)
        return Epoch(root, record, adopted, stale, period_s)


def refuse_replica(folder: Path) -> None:
    """WrongPeer if a role's folder is a copy of another machine's: a start there would make a second history of the role."""
    if (folder / names.REPLICA).exists():
        what = "this folder is a copy, which a transport writes"
        raise WrongPeer(what, str(folder), "start this daemon in its own folder, on the other machine")


def _taken(path: Path) -> ProtocolError:
    return ProtocolError("something else has this name already", str(path), "what is published is never replaced")


def control_files(root: Path) -> dict[str, object]:
    """Files in control/ -> a mark that changes when the file is made anew."""
    found: dict[str, object] = {}
    try:
        paths = list((root / names.CONTROL).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return found
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if not path.name.startswith("."):
            found[path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def _make(record: EpochRecord, saved: bytes | None) -> None:
    """The folder appears whole: exclusive, with its epoch.json and the adopted checkpoint."""
    tmp = atomic.make_temporary_folder(record.folder)
    try:
        for name in FOLDERS[names.kind(record.role)]:
            atomic.make_folder(tmp / name)
        if saved is not None:
            atomic.publish_bytes(tmp / names.CHECKPOINT, saved)
        atomic.publish_bytes(tmp / names.EPOCH_JSON, record.dump())
        atomic.publish_folder(tmp, record.folder)
    finally:
        atomic.discard(tmp)


def _newest(folder: Path) -> EpochRecord | None:
    taken = epochs.numbers(folder)
    if not taken:
        return None
    path = folder / names.epoch(taken[-1])
    record = epochs.read(path)
    if record is None:
        raise Torn(
            "an epoch's folder without epoch.json",
            str(path),
            "wait a minute (a slow file server?) or remove this folder, then run the command again",
        )
    return record


def refuse_if_alive(newest: EpochRecord, period_s: float, view_s: float = 0.0) -> None:
    """RoleTaken if the daemon of an epoch lives: its counter moves within two periods, unless its end is known at once.

    view_s: how late this node may see what another one writes; the counter has as much longer.
    """
    path = newest.folder / names.HEARTBEAT
    first = heartbeat.read(path)
    if (first or {}).get("state") == PeerState.GONE or process.is_gone(first or newest.process):
        return
    period_s = max(period_s, (first or {}).get("period_s", 0.0))
    end = time.monotonic() + 2 * period_s + view_s
    while time.monotonic() < end:
        time.sleep(period_s / 20)
        beat = heartbeat.read(path)
        if process.is_gone(beat or newest.process) or (beat or {}).get("state") == PeerState.GONE:
            return
        if beat is not None and beat["counter"] != (first or {}).get("counter"):
            who = f"process {beat.get('pid')} on {beat.get('host')}, epoch {newest.number}"
            raise RoleTaken(
                f"a living daemon plays this role already ({who})", newest.role, "stop it first, or start with --takeover"
            )
