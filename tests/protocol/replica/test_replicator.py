import shutil

import pytest
from links import TwoFolders

from protocol import atomic, jsontext
from protocol.channels.files import FilesChannel
from protocol.errors import EnvironmentFailed, WrongPeer
from protocol.replica import replicator, wire
from protocol.replica.source import Source
from protocol.replica.target import Target
from protocol.store import Store

PERIOD_S = 3000.0  # no beat comes by itself


@pytest.fixture
def pair(memory):
    made = []

    def make(**faults):
        made.append(TwoFolders(memory, PERIOD_S, **faults))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def filled(pair, make_batch, write_model):
    """Both sides started, three batches and two models published, nothing sent yet."""

    def make(**faults):
        both = pair(**faults)
        sim, train = both.start("sim"), both.start("train")
        for number in range(3):
            sim.publish_batch(number, make_batch(number), {"phase": "adapt"})
        train.publish_weights(0, write_model(0), {})
        train.publish_weights(4, write_model(4), {})
        return both

    return make


def told(both, side):
    return [(packet.epoch, packet.number, packet.digest) for packet in Store(both.root / side).packets("sim/sim0")]


def test_both_roles_are_the_same_bytes_on_both_sides(filled):
    both = filled()
    both.turn()
    assert len(both.same("sim/sim0")) == 1 + 2 * 3
    assert len(both.same("train")) == 1 + 3 * 2
    assert [packet.number for packet in Store(both.root / "sim").packets("train")] == [0, 4]
    for side in ("sim", "train"):
        both.epochs[side].close()
    both.turn()
    assert both.ends["sim"].settled()
    assert both.ends["train"].settled()
    assert len(both.same("sim/sim0", ("heartbeat.json",))) == 1


def test_nothing_is_sent_twice(filled):
    both = filled()
    both.turn()
    assert both.links["sim"].kinds().count("data") == 1 + 2 * 3
    assert both.links["train"].kinds().count("data") == 1 + 3 * 2
    both.connect("sim")
    both.connect("train")
    both.turn()
    assert not {"data", "get", "offer"} & {*both.links["sim"].kinds(), *both.links["train"].kinds()}


@pytest.mark.parametrize("seed", range(6))
def test_lost_and_doubled_messages(filled, make_batch, seed):
    both = filled(lost=0.25, doubled=0.25)
    for link in both.links.values():
        link.random.seed(seed)
    both.turn(600)
    both.same("sim/sim0")
    both.same("train")
    assert [number for _, number, _ in told(both, "train")] == [0, 1, 2]


def test_a_receiver_killed_at_every_system_call_goes_on_from_what_is_durable(filled, kill_at, memory):
    both = filled()
    home, kills, spared = memory / "train", 0, 0

    def meet():
        both.connect("sim")
        both.connect("train")
        both.turn(10)

    while kill_at(kills, meet):
        kills += 1
        store = Store(home)
        found = store.packets("sim/sim0")
        assert [packet.number for packet in found] == list(range(len(found)))
        assert store.refused == []
        epoch = home / "sim/sim0/epoch-0001"
        payloads = {f"batches/{path.name}" for path in (epoch / "batches").glob("batch-*")}
        spared += len(payloads) > len(found)
        meet()
        both.same("sim/sim0")
        asked = {wire.decode(data).fields["name"] for data in both.links["train"].sent if wire.decode(data).kind == "get"}
        assert not asked & payloads
        shutil.rmtree(home / "sim")
    assert kills > 50
    assert spared > 3, "never was a payload there without its trigger"


def test_adoption_and_retraction_keep_their_meaning(filled, make_batch, cursor):
    both = filled()
    both.epochs["sim"].save_checkpoint(cursor(0, -1, 0))
    both.turn()
    channel = FilesChannel(0.01, both.stores["train"], "train", both.epochs["train"], {}, observed=False)
    assert [packet.number for packet in channel.receive(0.0)] == [0, 1, 2]
    sim = both.start("sim")
    sim.publish_batch(1, make_batch(11), {})
    both.turn()
    both.same("sim/sim0")
    assert [(packet.epoch, packet.number) for packet in channel.receive(0.0)] == [(2, 1)]
    assert [(packet.epoch, packet.number) for packet in channel.retracted()] == [(1, 1), (1, 2)]
    assert told(both, "train") == told(both, "sim")


def test_the_ledger_is_there_before_the_start_that_counts_its_rows(filled, cursor):
    both = filled()
    for number in range(2000):
        both.epochs["sim"].journal.append({"event": "step", "step": number, "padding": "x" * 500})
    both.epochs["sim"].save_checkpoint(cursor(2, -1, 1990))
    both.start("sim").journal.append({"event": "start"})
    for _ in range(60):
        both.turn(1)
        rows = Store(both.root / "train").ledger("sim/sim0")
        if (both.root / "train/sim/sim0/epoch-0002").exists():
            assert len(rows) >= 1990
    assert rows == Store(both.root / "sim").ledger("sim/sim0")
    assert len(rows) == 1991


def test_a_long_absence_costs_no_memory_and_ends_with_everything(pair, make_batch):
    both = pair()
    sim = both.start("sim")
    for number in range(120):
        sim.publish_batch(number, make_batch(number, labels=1), {})
        both.turn(1, 60.0, ("sim",))
    assert both.links["sim"].sent == []
    both.start("train")
    both.turn(120)
    assert len(both.same("sim/sim0")) == 1 + 240


def test_a_peer_that_stops_answering_is_asked_again_and_then_forgotten(filled):
    both = filled()
    both.turn(2, 0.1)
    both.links["train"].lost = 1.0  # its questions get lost
    both.turn(4)
    both.links["train"].lost = 0.0
    both.turn(60)
    both.same("sim/sim0")
    both.links["sim"].lost = 1.0
    both.turn(300)
    assert not both.ends["train"].sessions


@pytest.mark.parametrize(("wrong", "sentence"), [("run", "another run"), ("mark", "another system"), ("role", "so is the other")])
def test_a_wrong_peer_is_refused_in_one_sentence_and_writes_nothing(filled, memory, caplog, make_batch, wrong, sentence):
    both = filled()
    if wrong == "run":
        both.turn()
        both.epochs.pop("sim").close()
        shutil.rmtree(memory / "sim")
        both.stores["sim"] = Store(memory / "sim", PERIOD_S)
        both.start("sim").publish_batch(7, make_batch(7), {})
    elif wrong == "mark":
        both.connect("sim", "a")
        both.connect("train", "b")
    else:
        both.ends["sim"]._role = "train"
    before = sorted((memory / "train").rglob("*.trigger"))
    caplog.clear()
    both.turn(10)
    assert sorted((memory / "train").rglob("*.trigger")) == before
    assert any(sentence in record.getMessage() for record in caplog.records)
    assert len(caplog.records) <= 4


@pytest.mark.parametrize(("version", "known", "sentence"), [(2, 1, "version 2"), (1, 2, "newer start of sim/sim0")])
def test_another_version_and_an_older_start_are_told_so(filled, version, known, sentence):
    both = filled()
    both.turn()
    end, link = both.ends["train"], both.links["train"]
    end.sessions["elsewhere"] = end.sessions.pop("there")
    end.sessions["elsewhere"].epoch = known
    link.inbox = [("there", wire.encode("here", version=version, role="sim/sim0", epoch=1, run="", have=None, beat=""))]
    end.turn(0.0)
    answer = wire.decode(link.sent[-1])
    assert answer.kind == "refuse"
    assert sentence in answer.fields["why"]
    assert list(end.sessions) == ["elsewhere"]


def test_no_daemon_starts_in_a_copy_and_no_copy_is_written_over_a_daemons_folder(filled, memory):
    both = filled()
    both.turn()
    with pytest.raises(WrongPeer, match="on the other machine"):
        Store(memory / "train").claim("sim/sim0")
    own = Store(memory / "train2", PERIOD_S)
    epochs = own.claim("sim/sim0"), own.claim("train")
    with pytest.raises(WrongPeer, match="run folder of its own"):
        replicator.Target(memory / "train2", "sim/sim0")
    for epoch in epochs:
        epoch.close()


def test_a_damaged_payload_is_passed_over_as_in_a_shared_folder(filled, memory, caplog):
    both = filled()
    path = memory / "sim/sim/sim0/epoch-0001/batches/batch-000001.h5"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    both.turn()
    assert [number for _, number, _ in told(both, "train")] == [0, 2]
    assert "does not fit its digest" in caplog.text


def test_a_trigger_that_does_not_fit_its_payload_is_never_installed(filled, memory, caplog):
    both = filled()
    path = memory / "sim/sim/sim0/epoch-0001/triggers/batch-000001.trigger"
    content = jsontext.loads(path.read_bytes(), path) | {"epoch_id": "another"}
    path.write_bytes(jsontext.seal(jsontext.dumps(content)))
    both.turn()
    assert [number for _, number, _ in told(both, "train")] == [0, 2]
    assert not (memory / "train/sim/sim0/epoch-0001/batches/batch-000001.h5").exists()


def test_a_full_disk_is_told_and_tried_again(filled, monkeypatch, caplog):
    both = filled()
    both.turn(3)
    real, full = atomic._write_all, [True]

    def write(fd, data, where):
        if full[0] and where is not None and "train/sim" in str(where):
            raise atomic.EnvironmentFailed("cannot write: the disk is full", str(where))
        real(fd, data, where)

    shutil.rmtree(both.root / "train" / "sim")
    both.start("train")
    monkeypatch.setattr(atomic, "_write_all", write)
    both.turn(30)
    assert told(both, "train") == []
    assert "the disk is full" in caplog.text
    full[0] = False
    both.turn(60)
    both.same("sim/sim0")


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:100]), lambda path: path.unlink()])
def test_a_payload_that_was_cut_or_is_gone_is_a_gap_and_holds_up_nothing(filled, memory, damage):
    both = filled()
    damage(memory / "sim/sim/sim0/epoch-0001/batches/batch-000001.h5")
    both.turn(200)
    assert [number for _, number, _ in told(both, "train")] == [0, 2]


def test_what_cannot_be_read_for_a_moment_is_sent_later_and_in_its_place(filled, monkeypatch):
    both, read, failures = filled(), atomic.read_bytes, [EnvironmentFailed("cannot read: too many open files", "batch")]

    def sometimes(path, *limit):
        if path.name == "batch-000001.trigger" and "/sim/sim/" in str(path) and failures:
            raise failures.pop()
        return read(path, *limit)

    monkeypatch.setattr(atomic, "read_bytes", sometimes)
    both.turn(50)
    both.connect("sim")
    both.connect("train")
    both.turn(200)
    assert not failures
    assert [number for _, number, _ in told(both, "train")] == [0, 1, 2]


def test_two_simulators_of_one_folder_copy_one_ledger(filled, memory, monkeypatch):
    """The same rows come to both at the same moment; the other process writes between a look at the file and the writing."""
    both = filled()
    both.turn()
    ledger = both.epochs["train"].journal
    for generation in range(3):
        ledger.append({"event": "epoch", "generation": generation, "said": "x" * (7 * generation + 3)}, durable=True)
    first, second = (Target(memory / "sim", "train") for _ in range(2))
    source = Source(memory / "train", "train")
    source.update()
    rows, opened = source.rows(first.held), atomic.open_place

    def late(path):
        monkeypatch.setattr(atomic, "open_place", opened)
        assert second.rows(*rows)
        return opened(path)

    monkeypatch.setattr(atomic, "open_place", late)
    first.rows(*rows)
    ledger.append({"event": "epoch", "generation": 9, "said": "y" * 300}, durable=True)
    while (rows := source.rows(first.held)) is not None:
        first.rows(*rows)
    copy, original = (memory / side / "train/epoch-0001/journal.jsonl" for side in ("sim", "train"))
    assert copy.read_bytes() == original.read_bytes()
