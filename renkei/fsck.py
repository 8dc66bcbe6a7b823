"""Every rule of docs/protocol.md that a run folder can show to be broken, and repairs that move and never delete."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol import atomic, checkpoint, delays, epochs, hdf5, journal, jsontext, names, run_format, yaml_marks
from protocol.epoch import FOLDERS, refuse_if_alive
from protocol.epochs import EpochRecord
from protocol.errors import RenkeiError, Torn
from protocol.heartbeat import PERIOD_S, PeerWatch
from protocol.records import Packet, PeerState
from protocol.scan import Finding as Verdict
from protocol.store import Store

QUARANTINE = "quarantine"  # of the run folder: what repairs have moved
LOOSE = {  # what else may lie in an epoch's folder
    *(names.EPOCH_JSON, names.RESOLVED, names.JOURNAL, names.HEARTBEAT, names.CHECKPOINT, names.CHECKPOINT_PREVIOUS),
    *("sim.log", "train.log", "fp"),
}


@dataclass(frozen=True)
class Finding:
    """One rule that is broken."""

    kind: str  # format, epoch, foreign, temporary, journal, checkpoint, message, orphan, gap, trajectory, model, text
    where: Path
    what: str
    moved: tuple[Path, ...] = ()  # what a repair moves into quarantine; () if there is no repair
    written: bytes | None = None  # what a repair writes at `where`

    @property
    def repairable(self) -> bool:
        """Whether `repair` can do something about it."""
        return bool(self.moved) or self.written is not None


def roles(root: Path) -> list[str]:
    """Roles that have ever started, also in a folder that no `Store` opens."""
    simulators = sorted(path.name for path in (root / names.SIM).glob("*") if path.is_dir() and names.is_simulator(path.name))
    return [*map(names.simulator_role, simulators), *([names.TRAIN] if (root / names.TRAIN).is_dir() else [])]


def living(root: Path) -> list[str]:
    """Roles whose daemon seems to run now."""
    quiet = (PeerState.GONE, PeerState.ABSENT, PeerState.FINISHING)
    newest = [(role, epochs.numbers(root / role)) for role in roles(root)]
    watches = [(role, PeerWatch(root / role / names.epoch(found[-1]) / names.HEARTBEAT)) for role, found in newest if found]
    return [role for role, watch in watches if watch.state() not in quiet]


def refuse_living(root: Path) -> None:
    """Raise RoleTaken if a daemon of the run lives; waits for two of its periods where nothing else tells."""
    for role in roles(root):
        with suppress(Torn):
            records = epochs.records(root / role)
            if records:
                refuse_if_alive(records[-1], PERIOD_S, delays.of_run(root).view_s)


def check(root: Path) -> list[Finding]:
    """All findings of a run folder, worst first as a person would mend them. Writes nothing. VersionClash for a newer format."""
    try:
        store = Store(root)
    except Torn as error:
        return [Finding("format", root / names.FORMAT, error.what, (root / names.FORMAT,), run_format.content())]
    found: list[Finding] = []
    for role in store.roles():
        role_folder = root / role
        found += _names_of_role(role_folder)
        records, broken = _records(role_folder, role)
        found += broken
        if broken:
            continue  # nothing else can be judged while an epoch's record is missing
        for record in records:
            found += _epoch(store, record, records)
        found += _messages(store, role, records)
        found += _ledger(store, role)
    if store.roles() and run_format.read(root) < run_format.FORMAT:
        what = "an older layout, which the next start signs"
        found.append(Finding("format", root / names.FORMAT, what, (), run_format.content()))
    return found


def repair(root: Path, findings: list[Finding]) -> list[Path]:
    """Move what is broken into a new folder below RUN/quarantine, with the reasons; returns what was moved."""
    number = 1
    while (home := root / QUARANTINE / f"fsck-{number:04d}").exists():
        number += 1
    moved: list[Path] = []
    reasons: list[dict[str, Any]] = []
    for finding in findings:
        for path in finding.moved:
            if path.is_symlink() or path.exists():
                reasons.append({"path": str(path.relative_to(root)), "kind": finding.kind, "what": finding.what})
                atomic.relocate(path, home / path.relative_to(root))
                moved.append(path)
        if finding.written is not None:
            atomic.replace_bytes(finding.where, finding.written)
    if reasons:
        atomic.publish_bytes(home / "reasons.json", jsontext.dumps({"moved": reasons}, indent=1))
    return moved


def _is_temporary(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".tmp")


def _names_of_role(folder: Path) -> Iterator[Finding]:
    for path in sorted(folder.iterdir()):
        if _is_temporary(path):
            yield Finding("temporary", path, "left by a start that was killed", (path,))
        elif path.name not in (names.CURRENT, names.REPLICA) and (names.parse_epoch(path.name) is None or not path.is_dir()):
            yield Finding("foreign", path, "no file of this program", (path,))


def _records(folder: Path, role: str) -> tuple[list[EpochRecord], list[Finding]]:
    records: list[EpochRecord] = []
    findings: list[Finding] = []
    for number in epochs.numbers(folder):
        path = folder / names.epoch(number)
        try:
            record = epochs.read(path)
            if record is None:
                raise Torn("it is missing", str(path / names.EPOCH_JSON))
            if record.role != role:
                raise Torn(f"of role {record.role}", str(path / names.EPOCH_JSON))
            records.append(record)
        except RenkeiError as error:
            what = f"epoch.json: {error.what}; without it nothing of this epoch counts"
            findings.append(Finding("epoch", path, what, (path,)))
    taken = [record.number for record in records]
    if not findings and taken and taken != list(range(1, taken[-1] + 1)):
        missing = sorted(set(range(1, taken[-1])) - set(taken))
        findings += [
            Finding("gap", folder / names.epoch(k), "this epoch is missing; its rows and messages are lost") for k in missing
        ]
        return records, []  # told below by _ledger and _messages too, where it matters
    return records, findings


def _epoch(store: Store, record: EpochRecord, records: list[EpochRecord]) -> Iterator[Finding]:
    newest = record is records[-1]
    allowed = LOOSE | set(FOLDERS[names.kind(record.role)])
    for path in sorted(record.folder.rglob("*")):
        inside = path.relative_to(record.folder).parts
        if inside[0] in ("fp", names.QUARANTINE):
            continue
        if _is_temporary(path):
            yield Finding("temporary", path, "left by a write that was cut off", (path,))
        elif len(inside) == 1 and path.name not in allowed:
            yield Finding("foreign", path, "no file of this program", (path,))
    yield from _journal(record, records)
    if not (record.folder.parent / names.REPLICA).is_file():  # a copy has what is published, and the journal
        yield from _checkpoints(record, newest)
        yield from _trajectories(record)
    text = record.folder / names.RESOLVED
    if text.is_file():
        try:
            yaml_marks.read(text)
        except RenkeiError as error:
            yield Finding("text", text, error.what, (text,))


def _checkpoints(record: EpochRecord, newest: bool) -> Iterator[Finding]:
    bad: list[Finding] = []
    present = 0
    for name in (names.CHECKPOINT, names.CHECKPOINT_PREVIOUS):
        path = record.folder / name
        try:
            data = atomic.read_bytes(path)
            present += 1
            rows = epochs.cursor(checkpoint.load(data))["row"]
        except FileNotFoundError:
            continue
        except RenkeiError as error:
            bad.append(Finding("checkpoint", path, error.what, (path,)))
            continue
        own = atomic.digest_of(data) != record.adopts.checkpoint
        there = len(journal.read_prefix(record.folder / names.JOURNAL))
        if own and rows > there:
            bad.append(Finding("checkpoint", path, f"it includes {rows} rows, the journal has {there}", (path,)))
    lost = present == 0 and record.adopts.checkpoint is not None
    if newest and (lost or (bad and len(bad) == present)):
        what = "no checkpoint of the newest epoch can be used; without this epoch the run goes on from the one before"
        yield Finding("checkpoint", record.folder, what, (record.folder,))
    else:
        yield from bad


def _journal(record: EpochRecord, records: list[EpochRecord]) -> Iterator[Finding]:
    path = record.folder / names.JOURNAL
    try:
        data = atomic.read_bytes(path)
    except FileNotFoundError:
        data = b""
    except RenkeiError as error:
        yield Finding("journal", path, error.what)
        return
    rows, good, damaged = journal.parse(data)
    adopted = [later.adopts.row for later in records if later.adopts.epoch == record.number]
    if adopted and len(rows) < min(adopted):
        yield Finding("journal", path, f"{len(rows)} readable rows, {min(adopted)} count: restore the file from a backup")
    elif damaged and not adopted:  # else nothing counts there: a power cut may keep later rows and not earlier ones
        yield Finding("journal", path, f"line {damaged} is damaged and rows follow it; those after it do not count")
    lines = data[:good].split(b"\n")[:-1]
    sealed = [jsontext.is_sealed(line) for line in lines]
    if any(sealed) and not all(sealed):
        yield Finding("journal", path, f"line {sealed.index(False) + 1} has no check sum, others have")


def _trajectories(record: EpochRecord) -> Iterator[Finding]:
    rows = [row for row in journal.read_prefix(record.folder / names.JOURNAL) if row.get("event") == "trajectory"]
    told = {row["number"]: row for row in rows if isinstance(row.get("number"), int)}
    for path in sorted((record.folder / names.TRAJECTORY).glob("[0-9]*.h5")):
        row = told.pop(int(path.stem), None)
        try:
            data = atomic.read_bytes(path)
            if row is not None and atomic.digest_of(data) != row.get("digest"):
                raise Torn("its digest is not the one in the journal")
            with hdf5.opened(data, "trajectory segment"):
                pass
        except RenkeiError as error:
            yield Finding("trajectory", path, error.what, (path,))
    for number in told:
        yield Finding("trajectory", record.folder / names.trajectory(number), "the journal names it, it is not there")


def _messages(store: Store, role: str, records: list[EpochRecord]) -> Iterator[Finding]:
    entries = store.entries(role)
    kind, known = names.kind(role), {entry.place for entry in entries if entry.packet is not None}
    for entry in entries:
        payload = entry.trigger.parent.parent / names.payload(kind, max(entry.number, 0))
        if entry.packet is None:
            what = entry.reason if entry.finding is Verdict.REFUSED else f"incomplete: {entry.reason}"
            yield Finding("message", entry.trigger, what, (entry.trigger, *([payload] if entry.number >= 0 else [])))
        elif entry.after is not None and (entry.epoch, entry.after) not in known and not entry.retracted:
            yield Finding("gap", entry.trigger, f"the {kind} before it, number {entry.after}, is not there")
    for record in records:
        last = record.adopts.last(kind)
        if last >= 0 and not any(entry.packet and entry.number == last and entry.epoch < record.number for entry in entries):
            yield Finding("gap", record.folder, f"it adopts {kind} {last}, which is not there")
        triggers = {path.name for path in (record.folder / names.TRIGGERS).glob("*.trigger")}
        for path in sorted(record.folder.glob("weights/generation-*" if kind == "weights" else "batches/batch-*.h5")):
            number = path.stem.rpartition("-")[2]
            named = f"{kind}-{number}.trigger"
            if named not in triggers and _is_named(store, path):
                yield Finding("message", path, "it has no trigger; it stays because a ledger names it")
            elif named not in triggers:
                yield Finding("orphan", path, "it has no trigger: a publication that was cut off", (path,))
    yield from _last_saved(records, role, {entry.number for entry in entries if entry.packet is not None})


def _last_saved(records: list[EpochRecord], role: str, found: set[int]) -> Iterator[Finding]:
    """The last message that the newest checkpoint includes."""
    key = "generation" if role == names.TRAIN else "batch"
    for record in records[-1:]:
        try:
            last = epochs.cursor(checkpoint.load(atomic.read_bytes(record.folder / names.CHECKPOINT)))[key]
        except (FileNotFoundError, RenkeiError):
            continue
        if last >= 0 and last not in found:
            yield Finding("gap", record.folder, f"its checkpoint includes {key} {last}, which is not there")


def _is_named(store: Store, folder: Path) -> bool:
    """Whether a simulator's ledger names a model that lost its trigger."""
    if not folder.is_dir() or not (folder / names.CARD).is_file():
        return False
    digest = atomic.sha256(folder / names.CARD)
    roles = [role for role in store.roles() if role != names.TRAIN]
    return any(row.get("digest") == digest for role in roles for row in store.all_rows(role))


def _ledger(store: Store, role: str) -> Iterator[Finding]:
    try:
        rows = store.ledger(role)
    except Torn:
        return  # told by _journal
    if role == names.TRAIN:
        yield from _parents(store, store.packets(role))
        return
    places = [(row.get("walker"), row.get("step")) for row in rows if row.get("event") == "step"]
    steps = [(walker, step) for walker, step in places if isinstance(walker, int) and isinstance(step, int)]
    for walker in sorted({walker for walker, _ in steps}):
        own = [step for number, step in steps if number == walker]
        if own != list(range(own[0], own[0] + len(own))):
            place = next(k for k, step in enumerate(own) if step != own[0] + k)
            what = f"walker {walker}: step {own[place]} follows step {own[place - 1]}"
            yield Finding("gap", store.root / role, what)
    used = {str(row["digest"]) for row in rows if row.get("event") == "segment" and row.get("digest")}
    for digest in sorted(used):
        if store.find(names.TRAIN, digest) is None:
            what = f"the ledger names the model {digest[:12]}, which is not there: restore the train folder from a backup"
            yield Finding("model", store.root / role, what)


def _parents(store: Store, packets: list[Packet]) -> Iterator[Finding]:
    for packet in packets:
        for parent in store.read_card(packet).parents:
            if store.find(names.TRAIN, parent) is None:
                yield Finding("model", packet.path, f"its parent {parent[:12]} is not there")
