"""The trainer end to end in one process: batches in a store -> generations that simulators can load; restarts."""

import logging
import time

import numpy as np
import pytest

from kernels.potentials.base import load
from protocol.activity import ActivityClock
from protocol.channels import files
from protocol.errors import LearnFailed, RoleTaken
from protocol.records import PeerState, Phase
from protocol.store import Store
from train_daemon import daemon
from train_daemon.attendance import Attendance
from train_daemon.daemon import ACTIVITIES, FAILED_FITS, Parts, Trainer
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import LearnerContext
from train_daemon.publication import Press
from train_daemon.schedule import Rules

SETTINGS = chebyshev_bpnn.Settings(radial={"order": 4, "cutoff_A": 4.0}, angular={"order": 2, "cutoff_A": 3.0}, hidden=(8,))
RULES = Rules(labels_per_retrain=40, max_wait_s=1e9, epochs_per_retrain=10, keep_training_when_idle=False)


class Ending:
    """Stands for Shutdown: ends when told."""

    why = None
    pause = False

    def reason(self):
        return self.why

    def paused(self):
        return self.pause


@pytest.fixture
def bench(tmp_path):
    """bench.trainer() starts a trainer in the run folder, bench.send(...) publishes a batch of its simulator."""
    made = Bench(tmp_path)
    yield made
    made.end()


class Bench:
    def __init__(self, root):
        self.root, self.rng, self.sent, self.step = root, np.random.default_rng(0), 0, 0
        self.simulator = Store(root, period_s=0.05).claim("sim/sim0")
        self.open = []

    def trainer(self, rules=RULES):
        self.end()
        store = Store(self.root, period_s=0.05)
        epoch = store.claim("train")
        channel = files.build(files.Settings(poll_s=0.05), store, "train", epoch)
        dataset, log = Dataset(2), logging.getLogger("test")
        learner = chebyshev_bpnn.build(SETTINGS, LearnerContext("cpu", 1, 0))
        press = Press(learner, dataset, epoch, lambda simulator: 300.0)
        intake, clock = Intake(dataset, epoch, channel, log), ActivityClock(ACTIVITIES)
        attendance = Attendance(store, epoch, channel, log)
        parts = Parts(store, epoch, intake, attendance, learner, press, rules, Ending(), clock, log, poll_s=0.05)
        self.open = [channel, epoch]
        trainer = Trainer(parts)
        trainer._resume()
        return trainer

    def send(self, make_batch, steps=20, beads=4, phase=Phase.ADAPT, **changes):
        batch = make_batch(self.rng, range(self.step, self.step + steps), beads, phase=phase, **changes)
        packet = self.simulator.publish_batch(self.sent, batch, {"phase": str(phase), "generation": -1})
        self.step, self.sent = self.step + steps, self.sent + 1
        return packet

    def end(self):
        for part in self.open:
            part.close()
        self.open = []

    def rows(self, event):
        return [row for row in Store(self.root).all_rows("train") if row["event"] == event]


def test_two_generations_whose_parents_chain_and_whose_canaries_sing(bench, make_batch):
    trainer = bench.trainer()
    trainer.turn()
    assert Store(bench.root).packets("train") == []
    for _ in range(3):
        bench.send(make_batch)
    trainer.turn()
    for _ in range(9):
        bench.send(make_batch)
    trainer.turn()
    store = Store(bench.root)
    packets = store.packets("train")
    assert [packet.number for packet in packets] == [0, 1]
    cards = [store.read_card(packet) for packet in packets]
    assert cards[0].parents == ()
    assert cards[1].parents == (packets[0].digest,)
    assert cards[0].batches == ("sim0/1/0", "sim0/1/1", "sim0/1/2")
    assert len(cards[1].batches) == 12
    assert "training error" in cards[0].metrics["judged"]
    for card, packet in zip(cards, packets, strict=True):
        bird = card.canary
        got = load(card.format, packet.path, card.generation).evaluate(bird.positions, bird.numbers, bird.cell, bird.pbc)
        np.testing.assert_allclose(got.energy, bird.energy, rtol=0, atol=1e-9)
        np.testing.assert_allclose(got.forces, bird.forces, rtol=0, atol=1e-9)
        assert (card.species, card.charge, card.fingerprint) == ((1, 8), 0, "toy-1")
    published = bench.rows("published")
    assert [row["digest"] for row in published] == [packet.digest for packet in packets]
    assert published[1]["parents"] == [packets[0].digest]
    assert bench.rows("batch")[0] == {
        "event": "batch", "sender": "sim0", "epoch": 1, "number": 0, "labels": 80, "train": 40, "heldout": 0
    }  # fmt: skip
    assert bench.rows("epoch")[0]["generation"] == 0
    assert [row["publish"] for row in bench.rows("gate")] == [True, True]


def test_a_worse_model_is_not_published(bench, make_batch, monkeypatch):
    trainer = bench.trainer()
    for _ in range(12):
        bench.send(make_batch)
    trainer.turn()
    fit = trainer.parts.learner.fit

    def spoilt(model, data, budget):
        model, report = fit(model, data, budget)
        layers = tuple(tuple((1.5 * w, b) for w, b in layer) for layer in model.network.layers)
        return model.with_layers(0, layers), report

    monkeypatch.setattr(trainer.parts.learner, "fit", spoilt)
    for _ in range(2):
        bench.send(make_batch)
    trainer.turn()
    assert len(Store(bench.root).packets("train")) == 1
    assert [row["publish"] for row in bench.rows("gate")] == [True, False]
    assert "clearly worse" in bench.rows("gate")[1]["reason"]
    assert trainer.schedule.refusals == 1


def test_a_restart_doubles_nothing_and_the_chain_of_parents_goes_on(bench, make_batch):
    trainer = bench.trainer()
    for _ in range(4):
        bench.send(make_batch)
    trainer.turn()
    bench.send(make_batch, steps=3)
    trainer._receive(0.0)  # consumed, but no checkpoint knows of it: as after kill -9
    before = trainer.parts.intake.dataset.labels
    again = bench.trainer()
    assert again.schedule == trainer.schedule.restore(trainer.schedule.dump())
    assert len(again.parts.intake.dataset.names) == 4
    again._receive(0.0)
    assert again.parts.intake.dataset.labels == before
    for _ in range(8):
        bench.send(make_batch)
    again.turn()
    store = Store(bench.root)
    first, second = store.packets("train")
    assert (first.epoch, second.epoch, second.number) == (1, 2, 1)
    assert store.read_card(second).parents == (first.digest,)
    ledger = [(row["sender"], row["number"]) for row in store.ledger("train") if row["event"] == "batch"]
    assert ledger == [("sim0", number) for number in range(13)]


def test_a_fit_that_is_cut_short_is_kept_but_not_counted(bench, make_batch, monkeypatch):
    monkeypatch.setattr(daemon, "LOOK_EVERY_S", -1.0)
    trainer = bench.trainer()
    bench.send(make_batch, steps=30)
    ending, asked = trainer.parts.shutdown, []
    ending.reason = lambda: "STOP file" if asked.append(1) or len(asked) > 1 else None
    reason = trainer.run()
    assert reason == "STOP file"
    assert Store(bench.root).packets("train") == []
    again = bench.trainer()
    assert again.model is not None
    assert again.model.fits == 1
    assert again.schedule.fits == 0
    assert bench.rows("end")[0]["reason"] == "STOP file"


def test_labels_of_another_engine_go_to_quarantine_and_training_goes_on(bench, make_batch):
    trainer = bench.trainer()
    bench.send(make_batch, steps=30)
    bench.send(make_batch, fingerprint="other")
    trainer.turn()
    assert len(Store(bench.root).packets("train")) == 1
    reasons = list((trainer.parts.epoch.folder / "quarantine").glob("*.reason.txt"))
    assert len(reasons) == 1
    assert "fingerprint other" in reasons[0].read_text()


def test_it_rests_while_every_simulator_is_in_production(bench, make_batch):
    trainer = bench.trainer()
    bench.send(make_batch, steps=30, phase=Phase.PRODUCTION)
    trainer.turn()
    assert trainer.schedule.fits == 0
    assert trainer.parts.intake.dataset.labels[0] > 40
    trainer.parts.epoch.heartbeat._beat()
    assert Store(bench.root).heartbeat("train")["state"] == PeerState.PAUSED
    bench.send(make_batch, phase=Phase.ADAPT)
    trainer.turn()
    assert trainer.schedule.fits == 1


def test_retracted_batches_leave_the_training_set(bench, make_batch):
    trainer = bench.trainer()
    bench.send(make_batch)
    bench.simulator.save_checkpoint({"cursor": {"batch": 0, "generation": -1, "row": 0}})
    bench.send(make_batch)
    trainer._receive(0.0)
    assert trainer.parts.intake.dataset.names == ("sim0/1/0", "sim0/1/1")
    bench.simulator.close()
    bench.simulator = Store(bench.root, period_s=0.05).claim("sim/sim0")
    bench.sent, bench.step = 1, 20
    bench.send(make_batch)
    trainer._receive(0.0)
    assert trainer.parts.intake.dataset.names == ("sim0/1/0", "sim0/2/1")


def test_failed_fits_end_the_trainer_in_the_end(bench, make_batch, monkeypatch):
    trainer = bench.trainer(Rules(40, 1e9, 1, True))
    bench.send(make_batch, steps=30)

    def fail(model, data, budget):
        raise LearnFailed("the loss is not a finite number")

    monkeypatch.setattr(trainer.parts.learner, "fit", fail)
    for _ in range(FAILED_FITS - 1):
        trainer.turn()
    with pytest.raises(LearnFailed):
        trainer.turn()


def test_a_superseded_trainer_stops(bench, make_batch):
    trainer = bench.trainer()
    newer = Store(bench.root, period_s=0.05).claim("train", takeover=True)
    with pytest.raises(RoleTaken, match="newer"):
        trainer.run()
    newer.close()


def test_the_activities_are_the_whole_wall_time(bench, make_batch):
    now = [0.0]
    trainer = bench.trainer()
    trainer.parts.clock = ActivityClock(ACTIVITIES, lambda: now[0])
    bench.send(make_batch, steps=30)
    fit = trainer.parts.learner.fit

    def slow(*args):
        now[0] += 5.0
        return fit(*args)

    trainer.parts.learner.fit = slow
    trainer.turn()
    assert trainer.parts.clock.totals()["training"] == pytest.approx(5.0)
    assert sum(trainer.parts.clock.totals().values()) == pytest.approx(now[0])


def test_a_node_that_is_of_no_use_is_released_and_the_trainer_comes_back_for_new_labels(bench, make_batch, monkeypatch):
    """In production nobody needs a model; a chained job ends at once; one that finds labels of an adapt phase stays."""
    trainer = bench.trainer()
    trainer.parts.release_after_s = 0.2
    bench.send(make_batch)
    trainer.turn()
    trainer.turn()
    assert trainer._stop_reason(at_once=True) is None
    bench.send(make_batch, phase=Phase.PRODUCTION)
    began, turns = time.monotonic(), 0
    while trainer._stop_reason(at_once=True) is None:
        trainer.turn()
        turns += 1
    assert turns > 1
    assert time.monotonic() - began >= 0.2
    assert "no simulator needs" in trainer._stop_reason()
    trainer._save()
    bench.end()
    assert Store(bench.root).heartbeat("train")["released"] is True
    chained = bench.trainer()
    chained.parts.release_after_s = 1000.0
    chained.turn()
    assert chained._stop_reason() is None  # labels may be on their way from another machine
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    chained.turn()
    assert chained._stop_reason() is not None
    chained._save()
    bench.send(make_batch)
    called = bench.trainer()
    called.parts.release_after_s = 1000.0
    assert "released" not in Store(bench.root).heartbeat("train")
    called.turn()
    assert called._stop_reason(at_once=True) is None
    assert called._released is False
