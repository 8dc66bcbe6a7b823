import errno
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from protocol import atomic, epochs, heartbeat, names
from protocol.errors import EnvironmentFailed, ProtocolError, RoleTaken, Torn
from protocol.store import Store

CHILD = """
import sys, time
from pathlib import Path
from protocol.store import Store
epoch = Store(Path(sys.argv[1]), period_s=1.0).claim("sim/sim0")
epoch.journal.append({"step": 0}, durable=True)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def living(store):
    """A daemon of role sim/sim0 in a process of its own."""
    env = {**os.environ, "PYTHONPATH": os.getcwd()}
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(store.root)], stdout=subprocess.PIPE, text=True, env=env)
    assert child.stdout.readline() == "ready\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_role_taken_while_the_first_lives(store, living):
    with pytest.raises(RoleTaken, match=f"process {living.pid}"):
        store.claim("sim/sim0")
    assert epochs.numbers(store.root / "sim/sim0") == [1]


def test_starts_at_once_when_its_pid_is_gone(store, living, monkeypatch):
    living.kill()
    living.wait()
    monkeypatch.setattr(time, "sleep", lambda seconds: pytest.fail("it waits"))
    epoch = store.claim("sim/sim0")
    assert (epoch.number, epoch.adopted.epoch, epoch.adopted.tail) == (2, 1, [{"step": 0}])
    epoch.close()


def test_starts_after_two_periods_when_the_counter_stands_still(store, living):
    """A daemon of another machine whose beats have stopped: here one that is stopped by a signal and seen from elsewhere."""
    living.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, living.pid, os.WSTOPPED | os.WNOWAIT)  # no beat is on its way any more
    epoch = store.claim("sim/sim0")
    assert epoch.number == 2
    epoch.close()
    living.send_signal(signal.SIGCONT)


def test_takeover_and_the_superseded_one(store, make_batch, cursor):
    old = store.claim("sim/sim0")
    old.publish_batch(0, make_batch(0), {})
    old.save_checkpoint(cursor(0, -1, 0))
    new = store.claim("sim/sim0", takeover=True)
    assert old.superseded()
    assert not new.superseded()
    before = sorted(old.folder.rglob("*"))
    for write in (
        lambda: old.publish_batch(1, make_batch(1), {}),
        lambda: old.save_checkpoint(cursor(0, -1, 0)),
        lambda: old.publish_trajectory(0, b"x"),
        lambda: old.write_text("run.resolved.yaml", "x"),
    ):
        with pytest.raises(RoleTaken):
            write()
    assert sorted(old.folder.rglob("*")) == before
    new.publish_batch(1, make_batch(2), {})
    assert [(p.epoch, p.number) for p in store.packets("sim/sim0")] == [(1, 0), (2, 1)]
    old.close()
    new.close()


def test_what_a_superseded_daemon_still_wrote_does_not_count(store, make_batch, cursor, monkeypatch):
    old = store.claim("sim/sim0")
    old.journal.append({"step": 0})
    old.save_checkpoint(cursor(-1, -1, 1))
    new = store.claim("sim/sim0", takeover=True)
    monkeypatch.setattr(old, "superseded", lambda: False)  # it looked just before
    old.publish_batch(0, make_batch(0), {})
    old.journal.append({"step": 1})
    old.save_checkpoint(cursor(0, -1, 2))
    assert store.packets("sim/sim0") == []
    assert store.ledger("sim/sim0") == [{"step": 0}]
    old.close()
    new.close()
    third = store.claim("sim/sim0")  # the second saved nothing: the third adopts what the second did
    assert third.adopted.checkpoint["cursor"] == {"batch": -1, "generation": -1, "row": 1}
    assert third.adopted.tail == []
    third.close()


def test_adoption_of_rows_batches_and_checkpoint(store, make_batch, cursor):
    first = store.claim("sim/sim0")
    assert (first.adopted.batch, first.adopted.generation, first.adopted.row, first.adopted.checkpoint) == (-1, -1, 0, None)
    for step in range(4):
        first.journal.append({"step": step})
        first.publish_batch(step, make_batch(step), {"phase": "adapt"})
        if step in (0, 1):
            first.save_checkpoint({**cursor(step, -1, step + 1), "step": step})
    first.close()
    second = store.claim("sim/sim0")
    assert (second.adopted.batch, second.adopted.row, second.adopted.checkpoint["step"]) == (1, 2, 1)
    assert second.adopted.tail == [{"step": 2}, {"step": 3}]
    assert [p.number for p in store.packets("sim/sim0")] == [0, 1]
    assert store.ledger("sim/sim0") == [{"step": 0}, {"step": 1}]
    second.journal.append({"step": 2, "again": True})
    second.publish_batch(2, make_batch(20), {})
    assert [(p.epoch, p.number) for p in store.packets("sim/sim0")] == [(1, 0), (1, 1), (2, 2)]
    assert [row["step"] for row in store.ledger("sim/sim0")] == [0, 1, 2]
    assert len(store.all_rows("sim/sim0")) == 5
    second.close()


def test_a_start_that_saved_nothing_hands_on_what_it_adopted(store, cursor):
    first = store.claim("sim/sim0")
    for step in range(5):
        first.journal.append({"step": step, "by": 1})
    first.save_checkpoint({**cursor(-1, -1, 2), "at": 2})
    first.close()
    second = store.claim("sim/sim0")
    second.journal.append({"step": 2, "by": 2})
    second.close()
    third = store.claim("sim/sim0")
    assert third.adopted.checkpoint["at"] == 2
    assert [(row["step"], row["by"]) for row in third.adopted.tail] == [(2, 1), (3, 1), (4, 1), (2, 2)]
    assert [row["step"] for row in store.ledger("sim/sim0")] == [0, 1]
    third.journal.append({"step": 2, "by": 3})
    third.save_checkpoint({**cursor(-1, -1, 1), "at": 3})
    third.close()
    fourth = store.claim("sim/sim0")
    assert fourth.adopted.tail == []
    assert [row["step"] for row in store.ledger("sim/sim0")] == [0, 1, 2]
    fourth.close()


def test_damaged_checkpoint_falls_back_to_the_previous_one(store, make_batch, cursor):
    first = store.claim("sim/sim0")
    for number in range(2):
        first.publish_batch(number, make_batch(number), {})
        first.save_checkpoint(cursor(number, -1, 0))
    first.close()
    with open(first.folder / names.CHECKPOINT, "r+b") as handle:
        handle.seek(700)
        handle.write(b"\xff\xff\xff")
    second = store.claim("sim/sim0")
    assert second.adopted.batch == 0
    assert [p.number for p in store.packets("sim/sim0")] == [0]
    second.close()


def test_no_usable_checkpoint_is_said(store, cursor):
    first = store.claim("sim/sim0")
    first.save_checkpoint(cursor(-1, -1, 0))
    first.close()
    (first.folder / names.CHECKPOINT).write_bytes(b"rubbish")
    with pytest.raises(Torn, match="checkpoint"):
        store.claim("sim/sim0")


def test_a_cursor_beyond_the_journal_is_refused(store, cursor):
    epoch = store.claim("sim/sim0")
    with pytest.raises(ProtocolError, match="row 1"):
        epoch.save_checkpoint(cursor(-1, -1, 1))
    epoch.close()


def test_checkpoint_of_lost_rows_is_not_adopted(store, cursor):
    """A power cut that took rows away which the checkpoint includes (they were synced, the disk lied): the one before is used."""
    first = store.claim("sim/sim0")
    first.journal.append({"step": 0})
    first.save_checkpoint(cursor(-1, -1, 1))
    first.journal.append({"step": 1})
    first.save_checkpoint(cursor(-1, -1, 2))
    first.close()
    (first.folder / names.JOURNAL).write_bytes(b'{"step": 0}\n{"st')
    second = store.claim("sim/sim0")
    assert second.adopted.row == 1
    second.close()


@pytest.mark.parametrize("step", range(106))
def test_killed_anywhere_the_next_start_recovers(store, kill_at, make_batch, cursor, step):
    """A simulator killed at any system call: whole batches only, and the next start goes on from a checkpoint that fits them."""

    def work():
        epoch = store.claim("sim/sim0")
        for number in range(2):
            epoch.journal.append({"step": number}, durable=True)
            epoch.publish_batch(number, make_batch(number), {})
            epoch.save_checkpoint({**cursor(number, -1, epoch.journal.rows_written), "done": number + 1})
            epoch.journal.append({"after": number})

    kill_at(step, work)
    epoch = store.claim("sim/sim0")
    done = 0 if epoch.adopted.checkpoint is None else epoch.adopted.checkpoint["done"]
    assert [p.number for p in store.packets("sim/sim0")] == list(range(done))
    assert epoch.adopted.batch == done - 1
    assert [row["step"] for row in store.ledger("sim/sim0") if "step" in row] == list(range(done))
    assert store.refused == []
    for number in range(done, 2):
        epoch.publish_batch(number, make_batch(number), {})
    assert [p.number for p in store.packets("sim/sim0")] == [0, 1]
    epoch.close()


@pytest.mark.parametrize("step", range(12, 80, 3))
def test_killed_trainer_leaves_whole_generations(store, kill_at, write_model, cursor, step):
    def work():
        epoch = store.claim("train")
        for generation in range(2):
            epoch.publish_weights(generation, write_model(generation), {})
            epoch.save_checkpoint(cursor(-1, generation, 0))

    kill_at(step, work)
    for packet in store.packets("train"):
        assert store.read_card(packet).generation == packet.number
    epoch = store.claim("train")
    assert [p.number for p in store.packets("train")] == list(range(epoch.adopted.generation + 1))
    assert store.refused == []
    epoch.publish_weights(epoch.adopted.generation + 1, write_model(epoch.adopted.generation + 1), {})
    epoch.close()


def test_published_generation_and_its_card(store, write_model):
    epoch = store.claim("train")
    packet = epoch.publish_weights(4, write_model(4), {"heldout": 0.5})
    card = store.read_card(packet)
    assert list(card.files) == ["weights.h5"]
    assert packet.facts["heldout"] == 0.5
    assert store.packets("train") == [packet]
    with pytest.raises(ProtocolError, match="cannot follow"):
        epoch.publish_weights(4, write_model(4), {})
    with pytest.raises(ProtocolError, match="generation 6"):
        epoch.publish_weights(5, write_model(6), {})
    assert sorted(os.listdir(epoch.folder / "weights")) == ["generation-000004"]
    epoch.close()


def test_a_retracted_model_can_still_be_found(store, write_model):
    first = store.claim("train")
    packet = first.publish_weights(0, write_model(0), {})
    first.close()
    second = store.claim("train")
    assert store.packets("train") == []
    assert store.find("train", packet.digest) == packet
    assert store.find("train", "0" * 64) is None
    second.close()


def test_full_disk_in_a_publication(store, make_batch, monkeypatch):
    epoch = store.claim("sim/sim0")
    real = os.write

    def full(fd, data):
        if len(data) > 2000:
            raise OSError(errno.ENOSPC, "full")
        return real(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(EnvironmentFailed, match="disk is full"):
            epoch.publish_batch(0, make_batch(0), {})
    assert store.packets("sim/sim0") == []
    epoch.publish_batch(0, make_batch(0), {})
    assert len(store.packets("sim/sim0")) == 1
    epoch.close()


def test_controls_at_the_start_are_ignored(store):
    folder = store.root / "control"
    folder.mkdir(parents=True)
    (folder / "STOP").touch()
    epoch = store.claim("sim/sim0")
    assert epoch.fresh_controls() == set()
    assert json.loads((epoch.folder / "epoch.json").read_text())["controls"] == ["STOP"]
    (folder / "PAUSE").touch()
    assert epoch.fresh_controls() == {"PAUSE"}
    assert store.control() == {"PAUSE", "STOP"}
    (folder / "STOP").unlink()
    assert epoch.fresh_controls() == {"PAUSE"}
    (folder / "STOP").touch()
    assert epoch.fresh_controls() == {"PAUSE", "STOP"}, "made anew, so it counts"
    epoch.close()


def test_a_control_file_for_one_daemon_alone(store):
    folder = store.root / "control"
    folder.mkdir(parents=True)
    (folder / "STOP-hot").touch()
    cold, hot, train = (store.claim(role) for role in ("sim/cold", "sim/hot", "train"))
    assert hot.fresh_controls() == set(), "it lay there at the start"
    for name in ("STOP-hot", "PAUSE-train"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).touch()
    assert [word in one.fresh_controls() for one in (cold, hot, train) for word in ("STOP", "PAUSE")] == [
        *(False, False),
        *(True, False),
        *(False, True),
    ]
    for epoch in (cold, hot, train):
        epoch.close()


def test_control_made_anew_between_two_looks(store):
    folder = store.root / "control"
    folder.mkdir(parents=True)
    (folder / "STOP").touch()
    epoch = store.claim("sim/sim0")
    (folder / "STOP").unlink()
    (folder / "other").touch()  # takes the inode
    (folder / "STOP").touch()
    assert "STOP" in epoch.fresh_controls()
    epoch.close()


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFailed) as caught:
        Store(tmp_path / "file" / "run").claim("train")
    assert "file" in str(caught.value)


def test_litter_of_a_dead_start_is_no_epoch(store):
    (store.root / "train" / ".epoch-0001.abc.tmp").mkdir(parents=True)
    epoch = store.claim("train")
    assert epoch.number == 1
    assert os.readlink(store.root / "train" / "current") == "epoch-0001"
    epoch.close("gone")
    assert heartbeat.read(epoch.folder / "heartbeat.json")["state"] == "gone"


def test_epoch_without_record_is_said(store):
    (store.root / "train" / "epoch-0001").mkdir(parents=True)
    with pytest.raises(Torn, match=r"epoch\.json"):
        store.claim("train")


def test_quarantine_keeps_the_thing_and_the_reason(store, tmp_path):
    epoch = store.claim("train")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "inner").write_text("evil")
    kept = epoch.quarantine(tmp_path / "bad", "sim0-bad", "why not")
    assert (kept / "inner").read_text() == "evil"
    assert (epoch.folder / "quarantine/sim0-bad.reason.txt").read_text() == "why not\n"
    assert epoch.quarantine(b"bytes", "../../escape", "no").parent == epoch.folder / "quarantine"
    epoch.quarantine(tmp_path / "missing", "missing", "it is not there")
    assert (epoch.folder / "quarantine/missing.reason.txt").exists()
    epoch.close()


def test_texts_have_bare_names(store):
    epoch = store.claim("train")
    epoch.write_text("run.resolved.yaml", "a: 1\n")
    epoch.write_text("run.resolved.yaml", "a: 2\n")
    assert (epoch.folder / "run.resolved.yaml").read_text() == "a: 2\n"
    with pytest.raises(ProtocolError):
        epoch.write_text("../x", "a")
    epoch.close()


def test_a_number_is_never_given_twice(store, write_model, cursor):
    """A model that a start published after its last checkpoint does not count, but its number is used up."""
    first = store.claim("train")
    first.publish_weights(0, write_model(0), {})
    first.save_checkpoint(cursor(-1, 0, 0))
    first.publish_weights(1, write_model(1), {})
    first.close()
    second = store.claim("train")
    assert (second.adopted.generation, second.next_number) == (0, 2)
    second.publish_weights(2, write_model(2), {})
    assert [packet.number for packet in store.packets("train")] == [0, 2]
    second.close()


def test_the_same_publication_again_completes_it(store, make_batch, monkeypatch):
    epoch = store.claim("sim/sim0")
    real = atomic._sync_folder

    def fails(path):
        if path.name == "triggers":
            raise EnvironmentFailed("cannot write: the disk or the file server failed", str(path))
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_sync_folder", fails)
        with pytest.raises(EnvironmentFailed):
            epoch.publish_batch(0, make_batch(0), {})
    packet = epoch.publish_batch(0, make_batch(0), {})
    assert store.packets("sim/sim0") == [packet]
    with pytest.raises(ProtocolError, match="cannot follow"):
        epoch.publish_batch(0, make_batch(0), {})
    epoch.close()


def test_what_cannot_be_copied_is_described(store, monkeypatch):
    epoch = store.claim("train")
    large = store.root / "large"
    with open(large, "wb") as file:
        file.truncate(atomic.COPIED + 1)
    copy = epoch.quarantine(large, "large", "of nobody")
    assert not copy.exists()
    assert "no copy is kept" in copy.with_name("large.reason.txt").read_text()
    epoch.close()
