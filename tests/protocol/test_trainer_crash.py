"""A kill or a power cut after the system calls of a real trainer, in its own order: the next start has each batch once.

test_simulator_crash.py does the same to `sim_daemon`; here `train_daemon` writes, while a simulator played by a script sends.
"""

import logging

import numpy as np
import pytest
from crash_disk import Recorder, Unsynced, some_crashes, survive

from kernels.potentials.base import load
from protocol import atomic, settings
from protocol.channels import base as channels
from protocol.log import close_log
from protocol.records import Batch, Label, Origin, Phase, Structure
from protocol.store import Store
from renkei import fsck
from renkei.prepare import run_folder
from train_daemon.__main__ import assemble
from train_daemon.daemon import Trainer
from train_daemon.intake import name_of
from train_daemon.learners import base as learners
from train_daemon.learners.base import LearnerContext

SIM, TRAIN = "sim/sim0", "train"
POINTS = 40  # of the folders that can be told apart
RINGS = 16  # of two beads, in a batch
RUN = """
science:
  system: {structure: dimer.xyz, restraint: {radius_A: 4.0, k_eV_per_A2: 1.0}}
  engine: {name: lennard_jones, epsilon_eV: 0.00308, sigma_A: 2.74}
  sampler: {name: sl_pihmc, ensemble: {temperature_K: 300}, beads: 2, timestep_fs: 1.0, trajectory_fs: 5.0}
  learner: {name: chebyshev_bpnn, radial: {order: 3, cutoff_A: 5.0}, angular: {order: 1, cutoff_A: 3.0}, hidden: [3]}
  coupling: {labels_per_retrain: 16, epochs_per_retrain: 20, max_wait_s: 100000}
  phases: {adapt: {max_steps: 1000}, production: {steps: 1000}}
  seed: 4
machine: {channel: {name: files, poll_s: 0.01}}
"""


def batch_of(number, phase=Phase.ADAPT):
    """Rings of two neon atoms on a spring, other ones for every number."""
    rng = np.random.default_rng(number)
    labels, origins = [], []
    for ring in range(RINGS):
        for bead in range(2):
            length = 3.1 + 0.2 * rng.standard_normal()
            structure = Structure(
                np.array([[0.0, 0, 0], [0, 0, length]]), np.array([10, 10]), np.zeros((3, 3)), np.zeros(3, bool)
            )
            pull = np.array([[0, 0, length - 3.1], [0, 0, 3.1 - length]])
            labels.append(Label(structure, -10.0 + 0.5 * (length - 3.1) ** 2, pull, None, 0, 1, "toy"))
            origins.append(Origin("sim0", 0, number * RINGS + ring, 0, bead, -1, True, phase, ring))
    return Batch(tuple(labels), tuple(origins))


class Sender:
    """One start of the simulator, as far as the trainer sees it."""

    def __init__(self, run):
        self.epoch = Store(run).claim(SIM)
        self.number = self.epoch.adopted.batch

    def send(self):
        self.number += 1
        self.epoch.publish_batch(self.number, batch_of(self.number), {"phase": "adapt", "generation": -1})
        cursor = {"batch": self.number, "generation": -1, "row": self.epoch.journal.rows_written}
        self.epoch.save_checkpoint({"cursor": cursor})


class Script:
    """Stands for Shutdown: after each fit the next act, and no act left is the end."""

    exit_code = 0

    def __init__(self, store, *acts):
        self._store, self._acts = store, list(acts)
        self._seen = self._judged()

    def _judged(self):
        return sum(row["event"] == "gate" for row in self._store.all_rows(TRAIN))

    def paused(self):
        return False

    def reason(self):
        if self._judged() == self._seen:
            return None
        self._seen += 1
        if not self._acts:
            return "the script is at its end"
        self._acts.pop(0)()
        return None


def train(run, *acts):
    """One start of the trainer, which ends after one fit more than there are acts."""
    config, store = settings.load(run, {"learner": learners.load, "channel": channels.load}), Store(run)
    learner = learners.load("chebyshev_bpnn").build(config.science.learner, LearnerContext("cpu", 1, 4))
    epoch = store.claim(TRAIN)
    channel = channels.load("files").build(config.machine.channel, store, TRAIN, epoch)
    try:
        epoch.write_text("run.resolved.yaml", settings.resolved(config))
        Trainer(assemble(config, learner, store, epoch, Script(store, *acts), channel)).run()
    finally:
        epoch.close()
        channel.close()
        close_log(logging.getLogger("renkei.train"))


@pytest.fixture
def recorded(tmp_path, still, monkeypatch):
    """(run, trace, position of the trainer's first call): three starts of each side, the second trainer's beside the sender."""
    (tmp_path / "dimer.xyz").write_text("2\n\nNe 0 0 0\nNe 0 0 3.1\n")
    (tmp_path / "run.in.yaml").write_text(RUN)
    run = run_folder(tmp_path / "run.in.yaml", tmp_path / "run", [])
    recorder = Recorder(run)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "os", recorder)
        sender = Sender(run)
        sender.send()
        began = len(recorder.trace)
        train(run)
        sender.send()
        train(run, sender.send, lambda: Sender(run).send())
    return run, recorder.trace, began


def recovered(run, stood):
    """What a run that went on has: each batch once, a chain of models that load, and those that counted before."""
    store = Store(run)
    sent = sorted(name_of(packet) for packet in store.packets(SIM))
    rows = [row for row in store.ledger(TRAIN) if row["event"] == "batch"]
    assert sorted(f"{row['sender']}/{row['epoch']}/{row['number']}" for row in rows) == sent, "the training set"
    assert all(row["labels"] == 2 * RINGS for row in rows)
    numbers = [entry.number for entry in store.entries(TRAIN)]
    assert len(set(numbers)) == len(numbers), "a generation's number twice"
    models, before = store.packets(TRAIN), ()
    assert [packet.digest for packet in models][: len(stood)] == stood, "a model that counted is gone"
    assert models, "no model"
    for packet in models:
        card = store.read_card(packet)
        assert card.parents == before, "a gap in the chain of models"
        assert len(set(card.batches)) == len(card.batches)
        assert set(card.batches) <= set(sent)
        bird, potential = card.canary, load(card.format, packet.path, card.generation)
        np.testing.assert_allclose(
            potential.evaluate(bird.positions, bird.numbers, bird.cell, bird.pbc).energy, bird.energy, rtol=0, atol=1e-9
        )
        before = (packet.digest,)
    assert sorted(row["digest"] for row in store.ledger(TRAIN) if row["event"] == "published") == sorted(
        packet.digest for packet in models
    )
    left = [finding for finding in fsck.check(run) if finding.kind not in ("temporary", "orphan")]
    assert left == [], "more than what a kill leaves"


def test_a_crash_of_a_real_trainer(recorded, memory, monkeypatch, record_property):
    run, trace, began = recorded
    recovered(run, [])
    monkeypatch.setattr(atomic, "os", Unsynced())

    def go_on(crashed):
        Store(crashed).claim(TRAIN).close()  # from here on it is settled what counts
        stood = [packet.digest for packet in Store(crashed).packets(TRAIN)]
        Sender(crashed).send()
        train(crashed)
        recovered(crashed, stood)

    folders, different = some_crashes(trace, POINTS, began)
    failures = survive(folders, run, memory / "crashed", go_on)
    told = f"crashes of a real trainer tried {len(folders)} of {different}, survived {len(folders) - len(failures)}"
    record_property("told", told)
    assert not failures, "\n".join(failures[:10])
