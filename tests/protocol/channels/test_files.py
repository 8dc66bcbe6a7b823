import os
import shutil
import threading

import pytest
from pydantic import ValidationError

from protocol import atomic, delays, jsontext, names
from protocol.channels import files
from protocol.records import PeerState
from protocol.store import Store


@pytest.fixture
def sim(store):
    epoch = store.claim("sim/sim0")
    yield epoch
    epoch.close()


@pytest.fixture
def train(store):
    epoch = store.claim("train")
    yield epoch
    epoch.close()


@pytest.fixture
def listen(store, train):
    """listen(**start_after) -> the trainer's channel."""
    made = []

    def make(start_after=None, clock=None):
        if clock is None:
            made.append(files.build(files.Settings(poll_s=0.02), store, "train", train, start_after))
        else:
            made.append(files.FilesChannel(0.02, store, "train", train, start_after or {}, clock))
        return made[-1]

    yield make
    for channel in made:
        channel.close()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def places(packets):
    return [(packet.sender, packet.epoch, packet.number) for packet in packets]


def quarantined(train):
    return sorted(os.listdir(train.folder / "quarantine"))


def test_each_message_once_and_in_order(sim, listen, make_batch, store):
    channel = listen()
    assert channel.receive(0.0) == []
    for number in range(12):
        sim.publish_batch(number, make_batch(number), {"phase": "adapt"})
    got = channel.receive(0.0)
    assert places(got) == [("sim0", 1, number) for number in range(12)]
    assert got[3].facts == {"count": 3, "fingerprint": "gfn2", "phase": "adapt"}
    assert store.read_batch(got[3]).origins == make_batch(3).origins
    assert channel.receive(0.0) == []
    sim.publish_batch(12, make_batch(12), {})
    assert places(channel.receive(5.0)) == [("sim0", 1, 12)]


def test_start_after_a_cursor(sim, listen, make_batch):
    for number in range(4):
        sim.publish_batch(number, make_batch(number), {})
    assert places(listen({"sim0": (1, 1)}).receive(0.0)) == [("sim0", 1, 2), ("sim0", 1, 3)]
    assert listen({"sim0": (1, 3)}).receive(0.0) == []


def test_several_simulators(store, sim, listen, make_batch):
    channel = listen()
    other = store.claim("sim/hot")
    sim.publish_batch(0, make_batch(0), {})
    other.publish_batch(0, make_batch(0, "hot"), {})
    assert sorted(places(channel.receive(0.0))) == [("hot", 1, 0), ("sim0", 1, 0)]
    assert channel.peers() == {"hot": PeerState.ALIVE, "sim0": PeerState.ALIVE}
    other.close()
    assert channel.peers()["hot"] is PeerState.GONE


def test_weights_reach_the_simulator(store, sim, train, write_model):
    channel = files.build(files.Settings(poll_s=0.02), store, "sim/sim0", sim)
    train.publish_weights(0, write_model(0), {})
    train.publish_weights(3, write_model(3), {})  # generations that the gate refused leave gaps
    got = channel.receive(0.0)
    assert places(got) == [("train", 1, 0), ("train", 1, 3)]
    assert store.read_card(got[1]).generation == 3
    assert channel.peers() == {"train": PeerState.ALIVE}
    channel.close()


def test_absent_peer(store, sim):
    channel = files.build(files.Settings(), store, "sim/sim0", sim)
    assert channel.receive(0.0) == []
    assert channel.peers() == {"train": PeerState.ABSENT}
    channel.close()


def test_retracted_batches(store, sim, listen, make_batch, cursor):
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
        if number == 0:
            sim.save_checkpoint(cursor(0, -1, 0))
    early, late = listen(), listen({"sim0": (1, 1)})
    assert len(early.receive(0.0)) == 3
    assert early.retracted() == []
    sim.close()
    again = store.claim("sim/sim0")
    again.publish_batch(1, make_batch(11), {})
    assert places(early.retracted()) == [("sim0", 1, 1), ("sim0", 1, 2)]
    assert early.retracted() == []
    assert places(early.receive(0.0)) == [("sim0", 2, 1)]
    # a trainer that starts now: what it had received in its earlier life, but not the batch that it never saw
    assert places(late.retracted()) == [("sim0", 1, 1)]
    assert places(late.receive(0.0)) == [("sim0", 2, 1)]
    again.close()


def damage(path, change):
    content = jsontext.loads(path.read_bytes(), path)
    path.write_bytes(jsontext.seal(jsontext.dumps({**content, **change})))


def test_damaged_batch_goes_to_quarantine_and_the_next_one_comes(sim, listen, train, make_batch, store):
    """A file of full size with other bytes is refused at once (one that is too short may be late)."""
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
    data = bytearray((sim.folder / "batches/batch-000001.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (sim.folder / "batches/batch-000001.h5").write_bytes(data)
    channel = listen()
    assert places(channel.receive(0.0)) == [("sim0", 1, 0), ("sim0", 1, 2)]
    assert "sim0-epoch-0001-batch-000001.h5" in quarantined(train)
    assert "digest" in (train.folder / "quarantine/sim0-epoch-0001-batch-000001.h5.reason.txt").read_text()
    assert [entry.number for entry in store.refused] == [1]
    before = quarantined(train)
    assert channel.receive(0.05) == []
    assert quarantined(train) == before


def test_late_payload_is_waited_for(sim, listen, train, make_batch):
    clock = Clock()
    channel = listen(clock=clock)
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
    path = sim.folder / "batches/batch-000001.h5"
    data = path.read_bytes()
    path.unlink()
    assert places(channel.receive(0.0)) == [("sim0", 1, 0)]
    path.write_bytes(data[:1000])
    assert channel.receive(0.0) == []
    clock.now += delays.LATE_S - 1
    path.write_bytes(data)
    assert places(channel.receive(0.0)) == [("sim0", 1, 1), ("sim0", 1, 2)]
    assert quarantined(train) == []


def test_late_trigger_is_waited_for(sim, listen, make_batch, tmp_path):
    """A directory listing that shows the newer trigger first must not make the older one come after it."""
    channel = listen(clock=(clock := Clock()))
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
    shutil.move(sim.folder / "triggers/batch-000000.trigger", tmp_path / "kept")
    assert channel.receive(0.0) == []
    clock.now += 10
    shutil.move(tmp_path / "kept", sim.folder / "triggers/batch-000000.trigger")
    assert [packet.number for packet in channel.receive(0.0)] == [0, 1, 2]


def test_truncated_batch_is_skipped_after_a_while(sim, listen, train, make_batch):
    channel = listen(clock=(clock := Clock()))
    for number in range(2):
        sim.publish_batch(number, make_batch(number), {})
    path = sim.folder / "batches/batch-000000.h5"
    path.write_bytes(path.read_bytes()[:1000])
    assert channel.receive(0.0) == []
    assert quarantined(train) == []
    clock.now += delays.LATE_S + 1
    assert [packet.number for packet in channel.receive(0.0)] == [1]
    reason = (train.folder / "quarantine/sim0-epoch-0001-batch-000000.h5.reason.txt").read_text()
    assert "1000 of" in reason
    assert reason.count("\n") == 1


def test_what_never_comes_is_waited_for_within_a_bound_and_named(sim, listen, train, make_batch):
    channel = listen(clock=(clock := Clock()))
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
    (sim.folder / "batches/batch-000000.h5").unlink()
    (sim.folder / "triggers/batch-000001.trigger").unlink()
    assert channel.receive(0.0) == []
    clock.now += delays.LATE_S + 1
    assert channel.receive(0.0) == []
    clock.now += delays.LATE_S + 1
    assert [packet.number for packet in channel.receive(0.0)] == [2]
    said = (train.folder / "quarantine/sim0-epoch-0001-batch-000001.trigger.reason.txt").read_text()
    assert said == "batch 1 of sim0's epoch 1 is not there after 60 s, though later ones are; it is passed over until it comes\n"


def test_a_slow_view_that_was_measured_makes_the_patience_longer(store, sim, train, make_batch):
    (store.root / "jobs").mkdir(parents=True, exist_ok=True)
    (store.root / "jobs" / "probe-gpu1.json").write_text('{"slowest_s": 12.0}')
    clock = Clock()
    channel = files.FilesChannel(0.02, Store(store.root), "train", train, {}, clock)
    for number in range(2):
        sim.publish_batch(number, make_batch(number), {})
    (sim.folder / "triggers/batch-000000.trigger").unlink()
    assert channel.receive(0.0) == []
    clock.now += 119
    assert channel.receive(0.0) == []
    clock.now += 2
    assert [packet.number for packet in channel.receive(0.0)] == [1]
    channel.close()


def test_empty_trigger_is_late_not_foreign(sim, listen, train, make_batch):
    sim.publish_batch(0, make_batch(0), {})
    path = sim.folder / "triggers/batch-000000.trigger"
    text = path.read_bytes()
    path.write_bytes(b"")
    channel = listen()
    assert channel.receive(0.0) == []
    path.write_bytes(text)
    assert len(channel.receive(0.0)) == 1
    assert quarantined(train) == []


@pytest.mark.parametrize(
    "content",
    [
        b'{"name": "a package.json"}',
        b"not JSON",
        b"[1, 2]",
        b"\x00\x01",
        b'{"epoch_id": "x", "schema": 1}',
        b'{"epoch_id": 1, "schema": 99}',
    ],
)
@pytest.mark.parametrize("name", ["batch-000001.trigger", "weights-000000.trigger", "whatever.trigger"])
def test_foreign_trigger_goes_to_quarantine(sim, listen, train, make_batch, content, name):
    sim.publish_batch(0, make_batch(0), {})
    (sim.folder / "triggers" / name).write_bytes(content)
    channel = listen()
    assert places(channel.receive(0.0)) == [("sim0", 1, 0)]
    assert f"sim0-epoch-0001-{name}" in quarantined(train)
    reason = (train.folder / f"quarantine/sim0-epoch-0001-{name}.reason.txt").read_text()
    assert reason.count("\n") == 1
    sim.publish_batch(1, make_batch(1), {}) if name != "batch-000001.trigger" else None
    assert len(channel.receive(0.0)) == (name != "batch-000001.trigger")


def test_trigger_of_another_run(tmp_path, sim, listen, train, make_batch):
    other = Store(tmp_path / "other").claim("sim/sim0")
    other.publish_batch(0, make_batch(5), {})
    for part in ("triggers/batch-000000.trigger", "batches/batch-000000.h5"):
        shutil.copy(other.folder / part, sim.folder / part)
    other.close()
    assert listen().receive(0.0) == []
    assert "epoch_id" in (train.folder / "quarantine/sim0-epoch-0001-batch-000000.trigger.reason.txt").read_text()


@pytest.mark.parametrize(
    "change",
    [
        {"digest": 3},
        {"size": "x"},
        {"facts": []},
        {"after": None},
        {"number": 1},
        {"epoch": 2},
        {"sender": "sim1"},
        {"facts": {"count": 99}},
    ],
)
def test_hostile_triggers(sim, listen, train, make_batch, change):
    sim.publish_batch(0, make_batch(0), {})
    damage(sim.folder / "triggers/batch-000000.trigger", change)
    assert listen().receive(0.0) == []
    assert "sim0-epoch-0001-batch-000000.trigger" in quarantined(train)


def test_a_well_signed_batch_of_somebody_else(sim, listen, train, make_batch):
    sim.publish_batch(0, make_batch(0, "sim7"), {})
    assert listen().receive(0.0) == []
    assert "sim7" in (train.folder / "quarantine/sim0-epoch-0001-batch-000000.h5.reason.txt").read_text()


def test_a_mended_file_is_taken_after_all(sim, listen, make_batch):
    sim.publish_batch(0, make_batch(0), {})
    path = sim.folder / "batches/batch-000000.h5"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"!")
    channel = listen()
    assert channel.receive(0.0) == []
    atomic.replace_bytes(path, good)
    assert len(channel.receive(0.0)) == 1


def test_damaged_model(store, sim, train, write_model):
    channel = files.build(files.Settings(poll_s=0.02), store, "sim/sim0", sim)
    train.publish_weights(0, write_model(0), {})
    (train.folder / "weights/generation-000000/weights.h5").write_bytes(b"Model 0")
    train.publish_weights(1, write_model(1), {})
    assert places(channel.receive(0.0)) == [("train", 1, 1)]
    assert "train-epoch-0001-generation-000000" in os.listdir(sim.folder / "quarantine")
    channel.close()


def test_damaged_epoch_record_of_the_peer(store, sim, listen, train, make_batch):
    sim.publish_batch(0, make_batch(0), {})
    sim.close()
    (sim.folder / names.EPOCH_JSON).write_text("{}")
    assert listen().receive(0.0) == []
    assert "sim0-epoch-0001-epoch.json" in quarantined(train)


def test_acknowledged_cursor_is_in_the_heartbeat(sim, listen, train, make_batch):
    for number in range(2):
        sim.publish_batch(number, make_batch(number), {})
    channel = listen()
    first, second = channel.receive(0.0)
    channel.acknowledge(second)
    channel.acknowledge(first)
    assert train.heartbeat._facts["cursor"] == {"sim0": [1, 1]}


def publish_later(sim, make_batch, waiting):
    def work():
        waiting.wait()
        sim.publish_batch(0, make_batch(0), {})

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_hint_makes_the_rescan_early(store, sim, train, make_batch):
    """The wait for the next look ends because of the hint, not because its time is over."""
    channel = files.build(files.Settings(poll_s=600), store, "train", train)
    scanned = threading.Event()
    real, hinted = channel._hint.wait, []

    def wait(timeout):
        scanned.set()
        hinted.append(real(60))
        return hinted[-1]

    channel._hint.wait = wait
    thread = publish_later(sim, make_batch, scanned)
    assert len(channel.receive(60.0)) == 1
    assert hinted == [True]
    thread.join()
    channel.close()


def test_without_watchdog_the_rescan_does_it(sim, listen, make_batch, monkeypatch):
    from watchdog.observers import Observer

    def refuse(self):
        raise OSError("inotify instance limit reached")

    monkeypatch.setattr(Observer, "start", refuse)
    channel = listen()
    assert channel._observer is None
    now = threading.Event()
    now.set()
    thread = publish_later(sim, make_batch, now)
    assert len(channel.receive(60.0)) == 1
    thread.join()


def test_a_folder_that_cannot_be_watched(sim, listen, make_batch, monkeypatch):
    channel = listen()

    def refuse(*_, **__):
        raise OSError("inotify watch limit reached")

    monkeypatch.setattr(channel._observer, "schedule", refuse)
    sim.publish_batch(0, make_batch(0), {})
    assert len(channel.receive(0.0)) == 1


def test_settings():
    assert files.Settings().poll_s == 0.5
    for wrong in ({"poll_s": 0}, {"poll": 1}):
        with pytest.raises(ValidationError):
            files.Settings(**wrong)
