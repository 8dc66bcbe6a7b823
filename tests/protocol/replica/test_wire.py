import random

import pytest
from links import TwoFolders

from protocol.errors import Torn
from protocol.replica import wire
from protocol.store import Store

DIGEST = "0" * 64
TRIGGER = "triggers/batch-000001.trigger"


def offer(*names, number=1, epoch=1, size=10, digest=DIGEST):
    return [[epoch, number, [[name, size, digest] for name in names]]]


def test_messages_and_offers_come_back():
    message = wire.decode(wire.encode("data", b"a\nb", epoch=3, name="x"))
    assert (message.kind, message.fields, message.body) == ("data", {"epoch": 3, "name": "x"}, b"a\nb")
    items = wire.parse_items(offer("batches/batch-000001.h5", TRIGGER), "batch")
    assert wire.parse_items(wire.dump_items(items), "batch") == items
    held = {2: wire.Held("ab", 4, 7), 1: wire.Held("cd")}
    assert wire.parse_held(wire.dump_held(held)) == held
    names = [f"weights/generation-000001/{name}" for name in ("net.h5", "card.json")]
    assert len(wire.parse_items(offer(*names, "triggers/weights-000001.trigger"), "weights")[0].files) == 3
    assert wire.parse_items(offer("run.resolved.yaml", "epoch.json", number=-1), "batch")[0].number == -1


@pytest.mark.parametrize(
    "hostile",
    [
        offer("../batch-000001.h5", TRIGGER),
        offer("/batches/batch-000001.h5", TRIGGER),
        offer("batches/../../batch-000001.h5", TRIGGER),
        offer("batches/batch-000002.h5", TRIGGER),
        offer(TRIGGER, "batches/batch-000001.h5"),
        offer("batches/batch-000001.h5"),
        offer(TRIGGER),
        offer("checkpoint.h5", number=-1),
        offer("../epoch.json", number=-1),
        offer("epoch.json", "epoch.json", number=-1),
        offer("batches/batch-000001.h5", TRIGGER, epoch=0),
        offer("batches/batch-000001.h5", TRIGGER, epoch="1"),
        offer("batches/batch-000001.h5", TRIGGER, number=True),
        offer("batches/batch-000001.h5", TRIGGER, size=-1),
        offer("batches/batch-000001.h5", TRIGGER, size=2**30),
        offer("batches/batch-000001.h5", TRIGGER, size=1.5),
        offer("batches/batch-000001.h5", TRIGGER, digest="ABC"),
        offer("batches/batch-000001.h5", TRIGGER, digest=None),
        offer(["batches"], TRIGGER),
        [[1, 1, []]],
        [[1, 1]],
        {"a": 1},
        "text",
        None,
        7,
    ],
)
def test_an_offer_that_the_protocol_has_not_is_refused(hostile):
    with pytest.raises(Torn):
        wire.parse_items(hostile, "batch")


@pytest.mark.parametrize("name", ["../x", ".x", "a/b", "", "..", "x\n", "x" * 200])
def test_a_file_of_a_model_has_a_bare_name(name):
    inside = [f"weights/generation-000001/{name}", "weights/generation-000001/card.json", "triggers/weights-000001.trigger"]
    with pytest.raises(Torn):
        wire.parse_items(offer(*inside), "weights")
    many = [f"weights/generation-000001/{k}" for k in range(wire.MOST_FILES)]
    with pytest.raises(Torn):
        wire.parse_items(offer(*many, *inside[1:]), "weights")


@pytest.mark.parametrize(
    "hostile", [[[1, "id", 1]], [[1, "../", 1, 1]], [["1", "id", 1, 1]], [[1, "id", 1, 2**80]], {"a": 1}, 3, [[]]]
)
def test_a_hostile_list_of_epochs_is_refused(hostile):
    with pytest.raises(Torn):
        wire.parse_held(hostile)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}", b"[]\n", b'{"m": 1}\n', b"{" * 100000 + b"\n", b"x" * (2 * wire.LARGEST), b"\xff\xfe\n"]
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(Torn):
        wire.decode(data)


def test_a_strangers_sentence_is_shortened_and_plain():
    assert wire.sentence("a\x1b[31m\nb" + "c" * 1000) == "a[31mb" + "c" * (wire.WORD - 8)


def test_random_damage_to_messages_never_ends_a_daemon_nor_writes_elsewhere(memory, make_batch):
    """Bits, cuts, insertions in every message of a real exchange; afterwards the copy becomes whole all the same."""
    both = TwoFolders(memory, 3000.0)
    sim = both.start("sim")
    for number in range(3):
        sim.publish_batch(number, make_batch(number), {})
    both.start("train")
    rng = random.Random(1)
    for _ in range(150):
        for side in ("sim", "train"):
            inbox = both.links[side].inbox
            inbox[:] = [(peer, damaged(data, rng) if rng.random() < 0.3 else data) for peer, data in inbox]
            both.ends[side].news = True
            both.ends[side].turn(0.0)
        both.clock.now += 7.0
    both.turn(200, 1.0)
    both.same("sim/sim0")
    assert Store(memory / "train").refused == []
    assert sorted(path.name for path in memory.iterdir()) == ["sim", "train"]
    assert sorted(path.name for path in (memory / "train").iterdir()) == ["format.json", "sim", "train"]
    both.close()


def damaged(data, rng):
    """One random change."""
    at = rng.randrange(len(data))
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at:]
    if kind == 2:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    return data.replace(b"batch", b"../..", 1)
