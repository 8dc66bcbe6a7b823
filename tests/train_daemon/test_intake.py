"""What comes in: torn batches go to quarantine, phases and cursors are remembered, acknowledgement follows durability."""

import logging
from dataclasses import replace

import numpy as np
import pytest

from protocol.records import Packet, PeerState, Phase
from protocol.store import Store
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake, name_of


class Wire:
    """A channel that hands out what it is given."""

    def __init__(self):
        self.acknowledged, self.back, self.states = [], [], {}

    def receive(self, timeout_s):
        return []

    def acknowledge(self, packet: Packet):
        self.acknowledged.append(name_of(packet))

    def peers(self):
        return self.states

    def retracted(self):
        found, self.back = self.back, []
        return found


@pytest.fixture
def intake(tmp_path):
    epoch = Store(tmp_path).claim("train")
    yield Intake(Dataset(4), epoch, Wire(), logging.getLogger("test"))
    epoch.close()


@pytest.fixture
def packets(tmp_path, make_batch):
    rng = np.random.default_rng(0)
    epoch = Store(tmp_path).claim("sim/sim0")
    facts = [{"phase": str(phase)} for phase in (Phase.STARTUP, Phase.ADAPT, Phase.PRODUCTION)]
    yield [epoch.publish_batch(k, make_batch(rng, [k]), facts[k]) for k in range(3)]
    epoch.close()


def test_a_packet_counts_once(intake, packets):
    assert intake.take([*packets, *packets]) == 3
    assert intake.dataset.labels == (12, 0)
    assert intake.cursor == {"sim0": [1, 2]}
    assert intake.epoch.journal.rows_written == 3


def test_the_newest_batch_of_every_simulator_says_the_phase(intake, packets):
    assert not intake.in_production()
    intake.take(packets[:2])
    assert not intake.in_production()
    intake.take(packets[2:])
    assert intake.in_production()
    intake.phases["hot"] = str(Phase.ADAPT)
    assert not intake.in_production()
    intake.channel.states = {"sim0": PeerState.ALIVE, "hot": PeerState.GONE}
    assert intake.in_production()  # who has left needs no model
    intake.channel.states["new"] = PeerState.ALIVE
    assert not intake.in_production()  # who has just come has sent nothing yet


def test_acknowledgement_comes_after_and_once(intake, packets):
    intake.take(packets[:1])
    assert intake.channel.acknowledged == []
    intake.acknowledge()
    intake.acknowledge()
    assert intake.channel.acknowledged == ["sim0/1/0"]


def test_a_torn_batch_is_quarantined_with_the_reason(intake, packets):
    assert intake.take([replace(packets[0], digest="0" * 64), packets[1]]) == 1
    folder = intake.epoch.folder / "quarantine"
    assert len(list(folder.glob("*.reason.txt"))) == 1
    assert intake.dataset.names == ("sim0/1/1",)


def test_retracted_batches_go(intake, packets):
    intake.take(packets)
    intake.channel.back = [packets[1]]
    assert intake.take([]) == 1
    assert intake.dataset.names == ("sim0/1/0", "sim0/1/2")


def test_resume_takes_the_listed_ones_without_new_rows(intake, packets, tmp_path):
    intake.resume(["sim0/1/1", "sim0/1/0"], Store(tmp_path))
    assert intake.dataset.names == ("sim0/1/1", "sim0/1/0")
    assert intake.epoch.journal.rows_written == 0


def test_what_was_learned_from_and_is_gone_is_named(intake, packets, tmp_path, caplog):
    packets[1].path.unlink()
    intake.resume(["sim0/1/0", "sim0/1/1", "sim0/1/2"], Store(tmp_path))
    assert intake.dataset.names == ("sim0/1/0", "sim0/1/2")
    assert "batch sim0/1/1; `renkei fsck` says more" in caplog.text
    assert Store(tmp_path).all_rows("train")[-1] == {"event": "lost", "batches": ["sim0/1/1"]}
