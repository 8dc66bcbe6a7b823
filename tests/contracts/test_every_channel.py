"""Every channel does the same with the same story: what is between the daemons changes nothing for them.

A channel of one's own is one more row in CASES; the example of docs/extending.md is tested so, from outside. Channel `mpi`
needs a launch of its own: its story is that of tests/protocol/channels/test_mpi.py.
"""

import socket
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from protocol.channels import base
from protocol.records import PeerState
from protocol.settings import plugin_names
from protocol.store import Store

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/protocol/harness"))

from stuff import a_batch, a_writer  # noqa: E402
from waitio import Waters  # noqa: E402

PERIOD_S = 0.1
WAIT_S = 20.0
EXAMPLE = "examples.waitio_channel"
CASES = ["files", "tcp", EXAMPLE]


class Story:
    """Both sides of one channel, in one process."""

    def __init__(self, name, folder, keys):
        self.name, self.folder, self.keys, self.open = name, folder, keys, []

    def start(self, role, start_after=None):
        """A start of a role with its channel."""
        side = "train" if role == "train" else "sim"
        store = Store(self.folder / ("run" if self.name == "files" else side), PERIOD_S)
        epoch = store.claim(role)
        module = base.load(self.name)
        settings = module.Settings(name=self.name, poll_s=0.02, **self.keys.get(side, {}))
        channel = module.build(settings, store, role, epoch, start_after)
        self.open += [epoch, channel]
        return store, epoch, channel

    def close(self):
        for one in self.open:
            one.close()


@pytest.fixture(params=CASES)
def story(request, tmp_path, monkeypatch):
    keys = {}
    if request.param == "tcp":
        (tmp_path / "secret").touch(0o600)
        (tmp_path / "secret").write_text("5" * 40)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        secret = {"secret": str(tmp_path / "secret")}
        keys = {"sim": {"connect": address, **secret}, "train": {"listen": address, **secret}}
    elif request.param == EXAMPLE:
        monkeypatch.syspath_prepend(str(ROOT / "docs"))
        waters = Waters()
        for rank, side in enumerate(("sim", "train")):
            module = ModuleType(f"waitio_of_{side}")
            vars(module).update(vars(waters.part(rank)))
            monkeypatch.setitem(sys.modules, module.__name__, module)
            keys[side] = {"library": module.__name__, "others": [1 - rank]}
    made = Story(request.param, tmp_path, keys)
    yield made
    made.close()
    for module in [name for name in sys.modules if name.partition(".")[0] == "examples"]:
        del sys.modules[module]


def take(channel, count):
    """The next `count` messages, as (sender, epoch, number)."""
    found, end = [], time.monotonic() + WAIT_S
    while len(found) < count:
        assert time.monotonic() < end, found
        found += channel.receive(0.1)
    return [(packet.sender, packet.epoch, packet.number) for packet in found], found


def wait_for(condition):
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_both_ways_once_and_in_order(story):
    _, train, batches = story.start("train")
    assert batches.receive(0.0) == []
    store, sim, models = story.start("sim/sim0")
    for number in range(4):
        sim.publish_batch(number, a_batch(number), {"phase": "adapt"})
    train.publish_weights(2, a_writer(2, 2_000_000), {})
    places, found = take(batches, 4)
    assert places == [("sim0", 1, number) for number in range(4)]
    assert found[2].facts["phase"] == "adapt"
    assert all(packet.path.is_relative_to(train.root) for packet in found)
    _, found = take(models, 1)
    assert store.read_card(found[0]).generation == 2
    assert store.find("train", found[0].digest) is not None
    assert batches.receive(0.05) == models.receive(0.05) == []
    batches.acknowledge(found[0])
    wait_for(lambda: batches.peers() == {"sim0": PeerState.ALIVE} and models.peers() == {"train": PeerState.ALIVE})
    sim.close()
    models.close()
    assert batches.peers() == {"sim0": PeerState.GONE}


def test_a_receiver_that_starts_again_gets_what_it_has_not_acknowledged(story):
    _, train, batches = story.start("train")
    _, sim, _ = story.start("sim/sim0")
    for number in range(3):
        sim.publish_batch(number, a_batch(number), {})
    take(batches, 3)
    train.close()
    batches.close()
    sim.publish_batch(3, a_batch(3), {})
    _, _, again = story.start("train", {"sim0": (1, 1)})
    assert take(again, 2)[0] == [("sim0", 1, 2), ("sim0", 1, 3)]


def test_what_the_next_start_does_not_adopt_is_retracted(story):
    _, _, batches = story.start("train")
    _, sim, models = story.start("sim/sim0")
    sim.publish_batch(0, a_batch(0), {})
    sim.save_checkpoint({"cursor": {"batch": 0, "generation": -1, "row": 0}})
    sim.publish_batch(1, a_batch(1), {})
    take(batches, 2)
    sim.close()
    models.close()
    _, sim, _ = story.start("sim/sim0")
    sim.publish_batch(1, a_batch(11), {})
    assert take(batches, 1)[0] == [("sim0", 2, 1)]
    assert [(packet.epoch, packet.number) for packet in batches.retracted()] == [(1, 1)]
    assert batches.retracted() == []


def test_every_channel_is_tried():
    assert {*CASES, "mpi"} == {*plugin_names(base.load), EXAMPLE}
