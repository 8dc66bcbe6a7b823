"""Hostile files: the declared errors and no other; no code runs, no file is made elsewhere, memory does not grow."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path

import hostile
import pytest
from story import batch_of, writer

from protocol import atomic, batch, checkpoint, epochs, heartbeat, journal, jsontext, weights, yaml_marks
from protocol.errors import BadSetting, ProtocolError, RenkeiError
from protocol.store import Store

MEMORY = 2**30  # bytes of address space beyond what the process has
SECONDS = 60  # of one case: after them the child ends
FORBIDDEN = (
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "subprocess.Popen",
    "pickle.find_class",
    "socket.connect",
    "ctypes.dlopen",
)


@pytest.fixture
def in_a_child(memory):
    """in_a_child(count, case): case(number) for all numbers, in a child with little memory; the case that ended it is named."""

    def run(count, case):
        told = memory / "told"
        child = os.fork()
        if not child:
            _work(count, case, told, memory)
        status = os.waitpid(child, 0)[1]
        words = told.read_text(errors="replace") if told.exists() else "nothing"
        assert status == 0, f"status {status}; it was at case {words}"

    return run


def _work(count, case, told, home):
    number = -1
    try:
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(lambda event, args: _guard(event, args, str(home)))
        progress = os.open(told, os.O_RDWR | os.O_CREAT)
        for number in range(count):
            os.pwrite(progress, b"%9d\n" % number, 0)
            signal.alarm(SECONDS)
            case(number)
        os._exit(0)
    except BaseException:
        told.write_text(f"{number}: {traceback.format_exc()[-1500:]}")
        os._exit(1)


def _guard(event, args, home):
    if event in FORBIDDEN:
        raise SystemError(f"{event} {args}")
    if event == "open" and isinstance(args[0], str | bytes | os.PathLike) and not str(args[0]).startswith((home, "/dev/null")):
        if isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise SystemError(f"writes {args[0]}")
        if str(args[0]) in ("/etc/passwd", "/etc/hostname"):
            raise SystemError(f"reads {args[0]}")


@pytest.fixture
def run(memory, quiet):
    """(store, simulator's epoch, trainer's epoch) with one message each."""
    store = Store(memory / "run", 3000.0)
    sim, train = store.claim("sim/sim0"), store.claim("train")
    sim.publish_batch(0, batch_of(0), {"phase": "adapt"})
    train.publish_weights(0, writer(0, (), ()), {})
    sim.journal.append({"event": "step", "walker": 0, "step": 1, "log_ratio": 0.25})
    sim.save_checkpoint({"cursor": {"batch": 0, "generation": -1, "row": 1}, "x": batch_of(0).labels[0].forces, "y": b"12"})
    return store, sim, train


def refused(call, *errors):
    """Make the call; only these errors may come."""
    try:
        return call()
    except errors:
        return None


def tell(record_property, what, count):
    record_property("told", f"hostile {what} tried: {count:,}")


def test_triggers(run, in_a_child, record_property, monkeypatch):
    """Through the whole scan, as a trainer sees them; the payload is good, or the trigger names another."""
    store, sim, _ = run
    path = sim.folder / "triggers/batch-000000.trigger"
    good = jsontext.loads(path.read_bytes(), path)
    names = ("batch-000000.trigger", "batch-000001.trigger", "weights-000000.trigger", "batch-999999999999.trigger", "x.trigger")

    def case(number):
        rng = random.Random(number)
        target = path.with_name(rng.choice(names))
        target.write_bytes(hostile.text(rng, good))
        scan = Store(store.root)
        found = scan.entries("sim/sim0")
        assert all(entry.packet is None or entry.packet.path.parent.parent == sim.folder for entry in found)
        target.unlink()

    in_a_child(2500, case)
    tell(record_property, "triggers", 2500)


def test_batches(in_a_child, record_property):
    """Bytes whose digest an attacker has put right."""
    good = batch.dump(batch_of(0))

    def case(number):
        rng = random.Random(number)
        data = hostile.bomb(rng, good) if number % 4 == 0 else hostile.bits(rng, good)
        found = refused(lambda: batch.load(data), ProtocolError)
        assert found is None or len(found.labels) == len(found.origins)

    in_a_child(2000, case)
    tell(record_property, "batches", 2000)


def test_checkpoints(run, in_a_child, record_property):
    _, sim, _ = run
    good = (sim.folder / "checkpoint.h5").read_bytes()[checkpoint.HEADER :]

    def case(number):
        rng = random.Random(number)
        data = hostile.bomb(rng, good) if number % 4 == 0 else hostile.bits(rng, good)
        head = f"{checkpoint.KIND} sha256:{hashlib.sha256(data).hexdigest()}\n".encode().ljust(checkpoint.HEADER, b"\0")
        refused(lambda: epochs.cursor(checkpoint.load(head + data)), ProtocolError)

    in_a_child(1500, case)
    tell(record_property, "checkpoints", 1500)


def test_cards(run, in_a_child, record_property):
    _, _, train = run
    folder = train.folder / "weights/generation-000000"
    good = json.loads((folder / "card.json").read_text())

    def case(number):
        data = hostile.text(random.Random(number), good)
        (folder / "card.json").write_bytes(data)
        refused(lambda: weights.verify(folder, atomic.digest_of(data)), ProtocolError, FileNotFoundError)

    in_a_child(2000, case)
    tell(record_property, "cards", 2000)


def test_journals_epochs_and_heartbeats(run, in_a_child, record_property):
    store, sim, _ = run
    rows = [{"event": "step", "walker": 0, "step": k, "log_ratio": 0.25, "digest": "ab"} for k in range(3)]
    record = jsontext.loads((sim.folder / "epoch.json").read_bytes(), "")
    beat = json.loads((sim.folder / "heartbeat.json").read_text())

    def case(number):
        rng = random.Random(number)
        lines = [hostile.text(rng, row) if rng.random() < 0.5 else jsontext.dumps(row) for row in rows]
        (sim.folder / "journal.jsonl").write_bytes(hostile.bits(rng, b"\n".join(lines) + b"\n"))
        refused(lambda: journal.read(sim.folder / "journal.jsonl"), ProtocolError)
        journal.read_prefix(sim.folder / "journal.jsonl")
        (sim.folder / "heartbeat.json").write_bytes(hostile.text(rng, beat))
        heartbeat.PeerWatch(sim.folder / "heartbeat.json").state()
        (sim.folder / "epoch.json").write_bytes(hostile.text(rng, record))
        refused(lambda: epochs.read(sim.folder), ProtocolError)
        refused(lambda: store.ledger("sim/sim0"), ProtocolError)

    in_a_child(1000, case)
    tell(record_property, "journals, epoch records and heartbeats", 3000)


def test_yaml(in_a_child, record_property, memory):
    def case(number):
        refused(lambda: yaml_marks.parse(hostile.yaml_text(random.Random(number)), "run.yaml"), BadSetting)

    in_a_child(400, case)
    assert not (memory / "HACKED").exists()
    tell(record_property, "YAML texts", 400)


def test_files_of_absurd_sizes(run, in_a_child, memory):
    """Sparse files of a terabyte, pipes, folders and links in the place of files."""
    store, sim, train = run

    def case(number):
        role, path = [
            ("sim/sim0", sim.folder / "batches/batch-000000.h5"),
            ("sim/sim0", sim.folder / "triggers/batch-000000.trigger"),
            ("sim/sim0", sim.folder / "journal.jsonl"),
            ("sim/sim0", sim.folder / "epoch.json"),
            ("train", train.folder / "weights/generation-000000/weights.h5"),
            ("train", train.folder / "weights/generation-000000/card.json"),
            ("sim/sim0", sim.folder / "checkpoint.h5"),
            ("sim/sim0", sim.folder / "heartbeat.json"),
        ][number // 4]
        kept = path.with_name("kept")
        path.rename(kept)
        (
            lambda: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
            lambda: os.mkfifo(path),
            path.mkdir,
            lambda: path.symlink_to("/proc/self/mem"),
        )[number % 4]()
        fresh = Store(store.root, 0.01)
        refused(lambda: fresh.packets(role), RenkeiError)
        refused(lambda: fresh.ledger(role), RenkeiError)
        refused(lambda: epochs.adopt(sim.record), RenkeiError)
        heartbeat.read(sim.folder / "heartbeat.json")
        copy = train.quarantine(path, f"{number}", "absurd")
        assert not copy.is_file() or copy.is_symlink()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        kept.rename(path)

    in_a_child(32, case)
