"""Both daemons' use of the protocol in the order in which they use it, scripted; and what may be found in a folder afterwards.

`play` plays simulator and trainer against a run folder; a `Story` remembers what was promised, and when; `check` recovers a
folder as the daemons do after a crash and compares.
"""

import logging
import os
from dataclasses import dataclass, field

import numpy as np

from protocol import atomic
from protocol.channels import files
from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure
from protocol.store import Store
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake, name_of

SIM, TRAIN = "sim/sim0", "train"
PERIOD_S = 3000.0  # no beat comes by itself
LOG = logging.getLogger("renkei.story")
LOG.addHandler(logging.NullHandler())
LOG.propagate = False


def batch_of(number):
    """Two labels of a dimer, other ones for every number."""
    structures = [
        Structure(np.array([[0.0, 0, 0], [0, 0, 1 + 0.01 * number + k]]), np.array([1, 8]), np.eye(3), np.zeros(3, bool))
        for k in (0, 1)
    ]
    labels = tuple(Label(s, float(number), np.zeros((2, 3)), None, 0, 1, "toy") for s in structures)
    return Batch(labels, tuple(Origin("sim0", 0, 20 * number, 0, bead, -1, True, Phase.ADAPT, 0) for bead in (0, 1)))


def writer(generation, parents, batches):
    """For Epoch.publish_weights: a model of a few bytes."""

    def write(folder):
        atomic.publish_bytes(folder / "weights.h5", b"model %d" % generation)
        canary = Canary(np.zeros((1, 2, 3)), np.array([1, 8]), np.eye(3), np.zeros(3, bool), np.zeros(1), np.zeros((1, 2, 3)))
        return Card("bpnn", generation, (1, 8), 6.0, 0, 1, "toy", {}, {}, parents, batches, {}, canary)

    return write


@dataclass
class Row:
    id: int
    since: int  # serial of the checkpoint before it
    begun: int
    safe: float = float("inf")  # from here on it was promised


@dataclass
class Save:
    begun: int
    rows: list  # ids of the ledger
    messages: list  # (epoch, number, digest) that count
    done: float = float("inf")


@dataclass
class Story:
    """Plays the daemons. now: tells the position in the trace.  attempt: how a call is made (again, after a fault)."""

    root: object
    now: object
    attempt: object = staticmethod(lambda call: call())
    interrupt: object = staticmethod(lambda work: work())  # let the other side work within the next publication
    saves: dict = field(default_factory=lambda: {SIM: [], TRAIN: []})
    rows: dict = field(default_factory=lambda: {SIM: [], TRAIN: []})
    ids: int = 0


class Player:
    """What both sides share."""

    role = ""

    def __init__(self, story):
        self.story, self.saves, self.journal = story, story.saves[self.role], story.rows[self.role]
        self.store = Store(story.root, PERIOD_S)
        self.epoch = story.attempt(lambda: self.store.claim(self.role))
        self.channel = files.build(files.Settings(poll_s=0.01), self.store, self.role, self.epoch)
        state = self.epoch.adopted.checkpoint
        self.serial = -1 if state is None else state["serial"]
        self.rows = [] if state is None else list(self.saves[self.serial].rows)
        self.messages = [] if state is None else list(self.saves[self.serial].messages)
        self.begin(state or {})
        story.attempt(lambda: self.epoch.write_text("run.resolved.yaml", "science: {}\n"))
        self.row("start", durable=True)

    def begin(self, state):
        """Take up a checkpoint."""

    def row(self, event, durable=False, **facts):
        story = self.story
        story.ids += 1
        entry = Row(story.ids, self.serial, story.now())
        self.journal.append(entry)
        self.rows.append(entry.id)
        content = {"event": event, "id": entry.id, **facts}
        story.attempt(lambda: self.epoch.journal.append(content, durable))
        if durable:
            self.promise_rows()

    def promise_rows(self):
        """All rows of this start up to now are on disk."""
        mine = set(self.rows)
        for entry in self.journal:
            if entry.id in mine:
                entry.safe = min(entry.safe, self.story.now())

    def save(self, batch, generation, **state):
        serial, story = len(self.saves), self.story
        self.saves.append(Save(story.now(), list(self.rows), list(self.messages)))
        cursor = {"batch": batch, "generation": generation, "row": self.epoch.journal.rows_written}
        story.attempt(lambda: self.epoch.save_checkpoint({"cursor": cursor, "serial": serial, **state}))
        self.saves[serial].done = story.now()
        self.serial = serial
        self.promise_rows()
        self.epoch.heartbeat.update(serial=serial)
        self.epoch.heartbeat._beat()

    def sent(self, packet):
        self.messages.append((packet.epoch, packet.number, packet.digest))

    def die(self):
        """As by kill -9: nothing more is written."""
        self.epoch.heartbeat._stop.set()

    def end(self):
        self.row("end", durable=True)
        self.save_all()
        self.story.attempt(lambda: self.epoch.close("finishing"))


class Simulator(Player):
    role = SIM

    def begin(self, state):
        self.step, self.digest, self.number = state.get("step", 0), state.get("digest", ""), self.epoch.adopted.batch
        if not state:
            self.publish()
            self.row("startup", durable=True)
            self.save_all()

    def publish(self):
        self.number += 1
        content = batch_of(self.number)
        facts = {"phase": "adapt", "generation": -1}
        self.sent(self.story.attempt(lambda: self.epoch.publish_batch(self.number, content, facts)))
        self.row("batch", number=self.number)

    def save_all(self):
        self.save(self.number, -1, step=self.step, digest=self.digest)

    def segment(self):
        """Look for models, two steps, a batch, a trajectory, a checkpoint."""
        for packet in self.channel.receive(0.0):
            self.story.attempt(lambda packet=packet: self.store.read_card(packet))
            self.row("model", durable=True, digest=packet.digest)
            self.channel.acknowledge(packet)
            self.digest = packet.digest
            self.row("segment", durable=True, digest=self.digest)
        for _ in range(2):
            self.step += 1
            self.row("step", step=self.step, digest=self.digest)
        self.publish()
        self.story.attempt(lambda: self.epoch.publish_trajectory(self.step, b"frames up to %d" % self.step))
        self.save_all()


class Trainer(Player):
    role = TRAIN

    def begin(self, state):
        self.intake = Intake(Dataset(2), self.epoch, self.channel, LOG)
        self.intake.resume(state.get("batches", []), self.store)
        self.parent, self.generation = state.get("parent", ""), self.epoch.adopted.generation

    def save_all(self):
        self.save(-1, self.generation, batches=list(self.intake.dataset.names), parent=self.parent)
        self.intake.acknowledge()

    def turn(self):
        """Take batches; a model if there were any; a checkpoint."""
        packets = self.intake.receive(0.0)
        self.story.attempt(lambda: self.intake.take(packets))
        self.generation = self.epoch.next_number
        parents = (self.parent,) if self.parent else ()
        write = writer(self.generation, parents, self.intake.dataset.names)
        packet = self.story.attempt(lambda: self.epoch.publish_weights(self.generation, write, {}))
        self.sent(packet)
        self.parent = packet.digest
        self.row("published", durable=True, digest=packet.digest)
        self.save_all()


def play(story):
    """Starts, kills, restarts and ends of both sides."""
    train, sim = Trainer(story), Simulator(story)
    train.turn()
    sim.segment()
    train.turn()
    sim.segment()
    sim.die()
    sim = Simulator(story)
    sim.segment()
    train.turn()
    train.die()
    train = Trainer(story)
    train.turn()
    story.interrupt(sim.segment)
    train.turn()
    sim.end()
    train.end()
    sim, train = Simulator(story), Trainer(story)
    sim.segment()
    train.turn()
    sim.die()
    train.die()
    return sim, train


def check(story, root, first, last):
    """Recover the folder `root` and go on; AssertionError where a promise is broken.

    first, last: positions of the story where it may have been cut off so.
    """
    reader = Store(root, PERIOD_S)
    for role in (SIM, TRAIN):
        reader.ledger(role), reader.all_rows(role), reader.packets(role), reader.understood(role), reader.started(role)
    assert reader.refused == [], reader.refused
    store = Store(root, PERIOD_S)
    sim, train = store.claim(SIM), store.claim(TRAIN)
    for epoch in (sim, train):
        _check_role(story, store, epoch, first, last)
    _check_models(store, sim)
    intake = Intake(Dataset(2), train, files.build(files.Settings(poll_s=0.01), store, TRAIN, train), LOG)
    intake.resume((train.adopted.checkpoint or {}).get("batches", []), store)
    intake.take(intake.receive(0.0))
    _check_training_set(store, intake)
    number = sim.adopted.batch + 1
    sim.publish_batch(number, batch_of(number), {"phase": "adapt"})
    sim.save_checkpoint({"cursor": {"batch": number, "generation": -1, "row": sim.journal.rows_written}, "serial": -2})
    intake.take(intake.receive(0.0))
    _check_training_set(store, intake)
    assert f"sim0/{sim.number}/{number}" in intake.dataset.names
    assert not any(os.listdir(epoch.folder / "quarantine") for epoch in (sim, train))
    for epoch in (sim, train):
        epoch.heartbeat._stop.set()


def _check_role(story, store, epoch, first, last):
    saves, state = story.saves[epoch.role], epoch.adopted.checkpoint
    serial = -1 if state is None else state["serial"]
    promised = max((k for k, save in enumerate(saves) if save.done <= last), default=-1)
    begun = max((k for k, save in enumerate(saves) if save.begun < first), default=-1)
    assert promised <= serial <= begun, f"checkpoint {serial} of {epoch.role}, promised {promised}"
    ids = [row["id"] for row in store.ledger(epoch.role) if "id" in row]
    assert ids == (saves[serial].rows if serial >= 0 else []), "the ledger"
    told = [(packet.epoch, packet.number, packet.digest) for packet in store.packets(epoch.role)]
    assert told == (saves[serial].messages if serial >= 0 else []), "the messages that count"
    tail = [row["id"] for row in epoch.adopted.tail if "id" in row]
    later = [row for row in story.rows[epoch.role] if row.since == serial and row.begun < first]
    assert len(set(tail)) == len(tail), "a row twice"
    assert set(tail) <= {row.id for row in later}, "rows of nowhere"
    assert tail == sorted(tail), "rows out of order"
    lost = {row.id for row in story.rows[epoch.role] if row.since == serial and row.safe <= last} - set(tail)
    assert not lost, f"rows lost after they were promised: {lost}"


def _check_models(store, sim):
    """Whatever drove a step can be loaded; parents are a chain."""
    for row in [*store.ledger(SIM), *sim.adopted.tail]:
        if row.get("digest") and row["event"] != "trajectory":
            assert store.find(TRAIN, row["digest"]) is not None, "a model of the ledger is gone"
    before = ()
    for packet in store.packets(TRAIN):
        assert store.read_card(packet).parents == before, "a gap in the chain of models"
        before = (packet.digest,)


def _check_training_set(store, intake):
    names = intake.dataset.names
    assert sorted(names) == sorted(name_of(packet) for packet in store.packets(SIM)), "the training set"
