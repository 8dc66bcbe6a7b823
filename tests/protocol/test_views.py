"""Two nodes that do not see the same folder: names and bytes come late, in any order; every message arrives, once."""

import pytest
from story import LOG, SIM, TRAIN, batch_of, writer
from views import View

from protocol.channels import files
from protocol.store import Store
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake, name_of


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("names", "data"), [(0, 3), (3, 0), (4, 6)])
def test_late_names_and_bytes(memory, quiet, names, data, seed):
    """The trainer's node lags behind the simulator, which dies and starts again."""
    clock, here = Clock(), Store(memory / "run", 3000.0)
    sim, train = here.claim(SIM), here.claim(TRAIN)
    there = Store(memory / "run", 3000.0)
    channel = files.FilesChannel(0.01, there, TRAIN, train, {}, clock)
    intake, view = Intake(Dataset(2), train, channel, LOG), View(memory / "run", names, data, seed)
    received = []

    def look():
        clock.now += 1
        with view.active():
            packets = intake.receive(0.0)
        received.extend(name_of(packet) for packet in packets)
        intake.take(packets)

    for number in range(4):
        sim.publish_batch(number, batch_of(number), {"phase": "adapt"})
        if number == 2:
            sim.save_checkpoint({"cursor": {"batch": 2, "generation": -1, "row": 0}})
        look()
    sim = here.claim(SIM)
    for number in (3, 4):
        sim.publish_batch(number, batch_of(number), {"phase": "adapt"})
        look()
    for _ in range(40):
        look()
    assert sorted(intake.dataset.names) == [f"sim0/1/{n}" for n in (0, 1, 2)] + [f"sim0/2/{n}" for n in (3, 4)]
    assert len(set(received)) == len(received), "a message twice"
    assert there.refused == []


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("data", [0, 3])
def test_a_late_model_is_used_when_it_has_come(memory, quiet, data, seed):
    """In order where names are late; a model whose bytes cannot be verified yet holds up no other."""
    here = Store(memory / "run", 3000.0)
    sim, train = here.claim(SIM), here.claim(TRAIN)
    channel = files.FilesChannel(0.01, Store(memory / "run", 3000.0), SIM, sim, {}, Clock())
    view, got = View(memory / "run", 3, data, seed=seed), []
    for generation in range(3):
        train.publish_weights(generation, writer(generation, (), ()), {})
        with view.active():
            got += [packet.number for packet in channel.receive(0.0)]
    for _ in range(20):
        with view.active():
            got += [packet.number for packet in channel.receive(0.0)]
    assert sorted(got) == [0, 1, 2]
    assert data or got == [0, 1, 2]
