"""epoch.json: what a start of a daemon adopts of the starts before it. Reading side and arithmetic; claim.py writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from protocol import atomic, checkpoint, journal, jsontext, names
from protocol.errors import Torn, VersionClash

SCHEMA = 1
LIMIT = 2**24
NONE = -1  # "no batch, no generation"


@dataclass(frozen=True)
class Adoption:
    """What is adopted of the previous epoch."""

    epoch: int = 0  # number of the previous epoch; 0: there is none
    batch: int = NONE  # last batch
    generation: int = NONE  # last generation
    row: int = 0  # rows of the previous epoch's journal
    checkpoint: str | None = None  # sha256 of the checkpoint, which is copied into the new folder
    tail: tuple[tuple[int, int, int], ...] = ()  # (epoch, first, end): rows after the checkpoint, which are repeated

    def last(self, kind: str) -> int:
        """Last adopted number of a kind of message."""
        return self.generation if kind == "weights" else self.batch


@dataclass(frozen=True)
class EpochRecord:
    """epoch.json."""

    role: str
    number: int
    id: str  # random; every trigger of the epoch carries it
    process: Mapping[str, Any]
    adopts: Adoption
    controls: tuple[str, ...]  # control files present at the start: ignored
    unix: float
    folder: Path = field(compare=False)

    def dump(self) -> bytes:
        """Bytes of epoch.json."""
        fields = {name: getattr(self, name) for name in ("role", "number", "id", "process", "controls", "unix")}
        return jsontext.seal(jsontext.dumps({"schema": SCHEMA, **fields, "adopts": vars(self.adopts)}, indent=1))


def numbers(role_folder: Path) -> list[int]:
    """Numbers of all epoch folders of a role, in order."""
    try:
        found = [names.parse_epoch(path.name) for path in role_folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(number for number in found if number is not None)


def highest(role_folder: Path, kind: str) -> int:
    """Highest number that any epoch of a role has given to a message, adopted or not; -1 for none."""
    found = NONE
    for number in numbers(role_folder):
        try:
            triggers = [names.parse_trigger(path.name) for path in (role_folder / names.epoch(number) / names.TRIGGERS).iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            continue
        found = max([found, *(trigger[1] for trigger in triggers if trigger is not None and trigger[0] == kind)])
    return found


def read(folder: Path) -> EpochRecord | None:
    """The record of an epoch's folder; None if it is not there (yet); Torn if it is not one."""
    try:
        return parse(atomic.read_bytes(folder / names.EPOCH_JSON, LIMIT), folder)
    except (FileNotFoundError, NotADirectoryError):
        return None


def parse(data: bytes, folder: Path) -> EpochRecord:
    """The record in the bytes of the epoch.json of `folder`.

    Raises Torn if it is none, or of another epoch, VersionClash for another schema.
    """
    path = folder / names.EPOCH_JSON
    fields = jsontext.loads(data, path)
    if fields.get("schema") != SCHEMA:
        raise VersionClash(
            f"epoch.json of schema {fields.get('schema')}, this version reads {SCHEMA}",
            str(path),
            "use the same version of renkei",
        )
    try:
        adopts = dict(fields["adopts"])
        if not all(type(adopts[key]) is int for key in ("epoch", "batch", "generation", "row")):
            raise ValueError("adopts: numbers expected")
        adopts["tail"] = tuple((int(e), int(first), int(end)) for e, first, end in adopts["tail"])
        record = EpochRecord(
            role=str(fields["role"]),
            number=int(fields["number"]),
            id=str(fields["id"]),
            process=dict(fields["process"]),
            adopts=Adoption(**adopts),
            controls=tuple(fields["controls"]),
            unix=float(fields["unix"]),
            folder=folder,
        )
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise Torn(f"not an epoch.json ({type(error).__name__}: {error})", str(path)) from error
    if names.epoch(record.number) != folder.name:
        raise Torn(f"it says epoch {record.number}", str(path))
    return record


def records(role_folder: Path) -> list[EpochRecord]:
    """Records of all epochs of a role, in order."""
    found = (read(role_folder / names.epoch(number)) for number in numbers(role_folder))
    return [record for record in found if record is not None]


def ceiling(number: int, all_records: list[EpochRecord], kind: str) -> float:
    """Highest number of a kind that counts in epoch `number`: what the later epochs adopted of it."""
    return min((later.adopts.last(kind) for later in all_records if later.number > number), default=float("inf"))


def adopted_rows(all_records: list[EpochRecord]) -> list[dict[str, Any]]:
    """The ledger of a role: the adopted rows of every epoch, in order. Torn where an adopted row cannot be read."""
    rows: list[dict[str, Any]] = []
    for record in all_records:
        end = min((later.adopts.row for later in all_records if later.adopts.epoch == record.number), default=None)
        # rows after the adopted ones may be damaged: they do not count
        good = _own_rows(record) if end is None else journal.read_prefix(record.folder / names.JOURNAL)
        if end is not None and len(good) < end:
            raise Torn(
                f"{len(good)} readable rows, {end} were adopted",
                str(record.folder / names.JOURNAL),
                "restore the file from a backup",
            )
        rows += good[:end]
    return rows


def _own_rows(newest: EpochRecord) -> list[dict[str, Any]]:
    """Rows of the newest epoch. A power cut may damage those after its last checkpoint, in any order; before it that is Torn."""
    path = newest.folder / names.JOURNAL
    try:
        return journal.read(path)
    except Torn:
        good = journal.read_prefix(path)
        if len(good) < _promised(newest):
            raise
        return good


def _promised(epoch: EpochRecord) -> float:
    """Rows of its journal that an epoch's own checkpoint includes; infinity if none can be read."""
    found = []
    for name in (names.CHECKPOINT, names.CHECKPOINT_PREVIOUS):
        try:
            data = atomic.read_bytes(epoch.folder / name)
            own = atomic.digest_of(data) != epoch.adopts.checkpoint
            return cursor(checkpoint.load(data))["row"] if own else 0
        except FileNotFoundError:
            continue
        except Torn:
            found.append(name)
    return float("inf") if found or epoch.adopts.checkpoint else 0


def adopt(previous: EpochRecord) -> tuple[Adoption, bytes | None]:
    """What a new epoch adopts of the newest one, and the bytes of its checkpoint (None: it never had one).

    Raises Torn if there was one and none can be read.
    """
    before = previous.adopts
    damage: Torn | None = None
    for name in (names.CHECKPOINT, names.CHECKPOINT_PREVIOUS):
        path = previous.folder / name
        try:
            data = atomic.read_bytes(path)
            if (digest := atomic.digest_of(data)) == before.checkpoint:
                return _inherited(previous), data
            return _adopted(previous, checkpoint.load(data), digest, path), data
        except FileNotFoundError:
            continue
        except Torn as error:
            damage = error
    if damage is None and before.checkpoint is None:
        return _inherited(previous), None
    why = damage.what if damage else "it is missing"
    raise Torn(
        f"no checkpoint of this epoch can be used: {why}",
        str(previous.folder),
        "restore it, or remove this epoch's folder to go back to the one before",
    )


def tail_rows(role_folder: Path, adoption: Adoption) -> list[dict[str, Any]]:
    """The rows after the adopted checkpoint, oldest first; a repeated step may occur more than once, the last one holds."""
    rows: list[dict[str, Any]] = []
    for number, first, end in adoption.tail:
        rows += journal.read_prefix(role_folder / names.epoch(number) / names.JOURNAL)[first:end]
    return rows


def cursor(state: Mapping[str, Any]) -> dict[str, int]:
    """The cursor of a checkpoint: numbers of the last batch and generation, and of journal rows, that it includes.

    Raises Torn where it is not a whole one.
    """
    found = state.get("cursor")
    whole = isinstance(found, Mapping) and all(isinstance(found.get(key), int) for key in ("batch", "generation", "row"))
    if not isinstance(found, Mapping) or not whole or found["row"] < 0:
        raise Torn('a checkpoint needs "cursor": {"batch": int, "generation": int, "row": int}')
    return {key: found[key] for key in ("batch", "generation", "row")}


def _rows(epoch: EpochRecord) -> int:
    """Rows of its journal; asked for after its checkpoint was read, which never includes rows that are not there."""
    return len(journal.read_prefix(epoch.folder / names.JOURNAL))


def _inherited(previous: EpochRecord) -> Adoption:
    """The previous epoch saved no checkpoint of its own: what it adopted is adopted again, all its rows are repeated."""
    old = previous.adopts
    tail = (*old.tail, (previous.number, 0, _rows(previous)))
    return Adoption(previous.number, old.batch, old.generation, 0, old.checkpoint, tail)


def _adopted(previous: EpochRecord, state: Mapping[str, Any], digest: str, path: Path) -> Adoption:
    at, rows = cursor(state), _rows(previous)
    if at["row"] > rows:
        raise Torn(f"the checkpoint includes {at['row']} rows, the journal has {rows}", str(path))
    tail = ((previous.number, at["row"], rows),)
    return Adoption(previous.number, at["batch"], at["generation"], at["row"], digest, tail)
