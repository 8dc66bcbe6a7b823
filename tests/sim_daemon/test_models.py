import dataclasses
import logging
from contextlib import nullcontext

import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol.errors import ProtocolError, WrongPeer
from protocol.records import Canary, Card, Structure
from protocol.store import Store
from sim_daemon.models import Models
from sim_daemon.rank import Rank
from sim_daemon.system import System
from sim_daemon.world import World

WATER = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
NUMBERS = np.array([8, 1, 1])
FINGERPRINT = "engine-1"


def tiny_model(species):
    descriptor = Chebyshev(species, "species_resolved", 2, 4.0, 1, 3.0, (1,))
    rng = np.random.default_rng(1)
    length = descriptor.length
    layers = tuple(((rng.normal(size=(3, length)), rng.normal(size=3)), (rng.normal(size=(1, 3)), np.zeros(1))) for _ in species)
    ones = np.ones((len(species), length))
    return bpnn.BpnnModel(descriptor, layers, "tanh", 0 * ones, ones, np.zeros(len(species)))


def publish(epoch, generation, species=(1, 8), energy_shift=0.0, **changes):
    def write(folder):
        bpnn.write(folder, tiny_model(species))
        potential = bpnn.build(folder, generation)
        numbers = np.array([8, 1, 1]) if set(species) >= {1, 8} else np.array([species[0]] * 3)
        value = potential.evaluate(WATER[None], numbers, np.zeros((3, 3)), np.zeros(3, bool))
        canary = Canary(WATER[None], numbers, np.zeros((3, 3)), np.zeros(3, bool), value.energy + energy_shift, value.forces)
        card = Card("bpnn", generation, species, 4.0, 0, 1, FINGERPRINT, {}, {}, (), (), {}, canary)
        return dataclasses.replace(card, **changes)

    return epoch.publish_weights(generation, write, {})


class DirectChannel:
    """Hands over what the store holds, once."""

    def __init__(self, store):
        self.store, self.seen = store, 0

    def receive(self, timeout_s):
        packets = self.store.packets("train")[self.seen :]
        self.seen += len(packets)
        return packets

    def acknowledge(self, packet):
        pass


@pytest.fixture
def set_up(tmp_path):
    store = Store(tmp_path)
    epoch = store.claim("train")
    structure = Structure(WATER, NUMBERS, np.zeros((3, 3)), np.zeros(3, bool))
    system = System(NUMBERS, np.array([15.999, 1.008, 1.008]), structure, 0, 1, None, False)
    world = World()
    world.handlers = Rank(None, system, tmp_path / "fp", 0, lambda activity: nullcontext()).handlers
    models = Models(world, DirectChannel(store), system, FINGERPRINT, logging.getLogger("test"))
    yield store, epoch, models
    epoch.close("gone")


def test_the_newest_generation_is_taken_and_evaluates_as_its_files_say(set_up):
    _, epoch, models = set_up
    publish(epoch, 0)
    packet = publish(epoch, 1)
    rows = models.look()
    assert [row["used"] for row in rows] == [True, True]
    assert models.newest.card.generation == 1
    surrogate = models.surrogate(packet.digest)
    direct = bpnn.build(packet.path, 1).evaluate(WATER[None], NUMBERS, np.zeros((3, 3)), np.zeros(3, bool))
    value = surrogate.evaluate(WATER[None], NUMBERS, np.zeros((3, 3)), np.zeros(3, bool))
    np.testing.assert_array_equal(value.energy, direct.energy)
    np.testing.assert_array_equal(value.forces, direct.forces)
    assert models.surrogate("") is None


def test_a_generation_that_comes_late_does_not_replace_its_successor(set_up):
    _, epoch, models = set_up
    early, late = publish(epoch, 0), publish(epoch, 1)
    for packet in (late, early):
        models._channel.receive = lambda timeout_s, packet=packet: [packet]
        assert models.look()[0]["used"]
    assert models.newest.card.generation == 1
    assert models.digest(0) == early.digest


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"species": (6, 7)}, "other species"),
        ({"charge": 1}, "charge 1"),
        ({"fingerprint": "engine-2"}, "another engine"),
        ({"energy_shift": 1e-5}, "canary"),
    ],
)
def test_weights_for_something_else_are_refused_with_one_sentence(set_up, changes, said):
    _, epoch, models = set_up
    refused = []
    models.refuse = lambda packet, reason: refused.append(reason)
    publish(epoch, 0)
    publish(epoch, 1, **changes)
    rows = models.look()
    assert [row["used"] for row in rows] == [True, False]
    assert said in rows[1]["reason"] == refused[0]
    assert models.newest.card.generation == 0


def test_damaged_weights_are_refused(set_up):
    _, epoch, models = set_up
    packet = publish(epoch, 0)
    data = bytearray((packet.path / "weights.h5").read_bytes())
    data[len(data) // 2] ^= 1
    (packet.path / "weights.h5").write_bytes(bytes(data))
    assert not any(row["used"] for row in models.look())
    assert models.newest is None


def test_a_schedule_that_names_unknown_weights_is_told(set_up):
    store, epoch, models = set_up
    packet = publish(epoch, 0)
    with pytest.raises(ProtocolError, match="not in the run folder"):
        models.surrogate(packet.digest)
    models.sources.append(lambda digest: store.find("train", digest))
    assert models.surrogate(packet.digest).generation == 0


def test_found_weights_are_checked_too(set_up):
    store, epoch, models = set_up
    packet = publish(epoch, 0, fingerprint="engine-2")
    models.sources.append(lambda digest: store.find("train", digest))
    with pytest.raises(WrongPeer, match="another engine"):
        models.surrogate(packet.digest)
