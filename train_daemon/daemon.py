"""The trainer's loop: receive batches -> fit -> gate -> publish -> checkpoint. Waits for nothing but data."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from protocol import walltime
from protocol.activity import ActivityClock
from protocol.epoch import Epoch
from protocol.errors import LearnFailed, RoleTaken
from protocol.records import Packet, PeerState
from protocol.shutdown import Shutdown
from protocol.store import Store
from train_daemon.attendance import Attendance
from train_daemon.gate import Verdict
from train_daemon.intake import Intake
from train_daemon.learners.base import Budget, FitReport, Learner, Model
from train_daemon.publication import Press, recall
from train_daemon.schedule import Rules, Schedule

ACTIVITIES = ("reading", "training", "gating", "publishing", "waiting")
SAVE_EVERY_S = 30.0  # within a fit
LOOK_EVERY_S = 0.5  # at signals and control files within a fit
AGAIN_S = 60.0  # for labels to come from another machine, before what was released once is released again
FAILED_FITS = 3  # in a row, after which training ends


@dataclass
class Parts:
    """What a trainer is made of."""

    store: Store
    epoch: Epoch
    intake: Intake
    attendance: Attendance
    learner: Learner
    press: Press
    rules: Rules
    shutdown: Shutdown
    clock: ActivityClock
    log: logging.Logger
    poll_s: float
    release_after_s: float | None = None  # without use; None: never


class Trainer:
    """One start of the trainer."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.schedule = Schedule()
        self.model: Model | None = None
        self._failed_fits = 0
        self._saved_at = self._looked_at = time.monotonic()
        self._reason: str | None = None
        self._unused_since: float | None = None
        self._released = False  # this start has released its node; until it knows more: or the one before

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> str:
        """Train until a stop is asked for; returns the reason."""
        with self.parts.clock.doing("reading"):
            self._resume()
        self.parts.log.info("training on %s (%s)", self.parts.learner.device, self.parts.learner.device_reason)
        row = {"event": "start", "epoch": self.parts.epoch.number, "unix": time.time(), "job": walltime.job()}
        self.parts.epoch.journal.append({**row, "device": self.parts.learner.device, "why": self.parts.learner.device_reason})
        while self._stop_reason(at_once=True) is None:
            self.turn()
        self._receive(0.0)  # what has come is in the last checkpoint
        with self.parts.clock.doing("publishing"):
            reason = self._reason or ""
            self.parts.epoch.journal.append({"event": "end", "reason": reason, "activities": self.parts.clock.totals()})
            self._save()
        return reason

    def turn(self) -> None:
        """Look at the channel, then fit if it is time, else wait for the next look."""
        parts = self.parts
        self._receive(0.0)
        why = None if self._resting() else self.schedule.due(self._labels()[0], parts.rules, time.monotonic())
        if why is None:
            self._tell("paused" if self._resting() else "waiting")
            self._receive(parts.poll_s)
        else:
            self._fit(why)
        self._reason = self._reason or self._release()

    def _release(self) -> str | None:
        """A reason to end: all simulators have been in production for so long; soon, if that has ended the start before."""
        after_s, now = self.parts.release_after_s, time.monotonic()
        if after_s is None or not self.parts.intake.in_production():
            self._unused_since, self._released = None, False
            return None
        self._unused_since = now if self._unused_since is None else self._unused_since
        if now - self._unused_since < (min(after_s, AGAIN_S) if self._released else after_s):
            return None
        self._released = True
        self.parts.epoch.heartbeat.update(released=True)
        return "no simulator needs another model; the one that does will ask for the trainer again"

    def _receive(self, timeout_s: float) -> None:
        """Take what has come."""
        parts = self.parts
        with parts.clock.doing("waiting" if timeout_s else "reading"):
            packets = parts.intake.receive(timeout_s)
        with parts.clock.doing("reading"):
            parts.attendance.look()
            if parts.intake.take(packets):
                self.schedule = self.schedule.arrived(self._labels()[0], time.monotonic())

    def _resting(self) -> bool:
        """Nothing that is trained now would be used, or a person asked for a pause."""
        return self.parts.shutdown.paused() or self.parts.intake.in_production()

    # --- one fit --------------------------------------------------------------------------------

    def _fit(self, why: str) -> None:
        """One fit, its judgement, and a checkpoint."""
        parts = self.parts
        data = parts.intake.dataset.training_set()
        labels = len(data.samples)
        steps, epochs = self.schedule.length(parts.rules)
        generation = parts.press.next_generation
        parts.log.info("fit for generation %d (%s): %d labels", generation, why, labels)
        self._tell("training", fit_step=0)
        began, before = time.monotonic(), self.model
        try:
            with parts.clock.doing("training"):
                if self.model is None:
                    self.model = parts.learner.start(data)
                budget = Budget(
                    steps, epochs, lambda: self._stop_reason() is not None, self._on_epoch(generation), self._on_progress
                )
                self.model, report = parts.learner.fit(self.model, data, budget)
            if self._reason is None:  # a fit that was cut short is kept, but neither counted nor judged
                seconds = time.monotonic() - began
                row = {"event": "fit", "generation": generation, "steps": report.steps, "epochs": report.epochs}
                parts.epoch.journal.append({**row, "seconds": seconds, "labels_train": labels, "why": why})
                self._submit(generation, labels, report)
        except LearnFailed as error:
            self._failed(error, before)
            return
        self._failed_fits = 0
        with parts.clock.doing("publishing"):
            self._save()

    def _submit(self, generation: int, labels: int, report: FitReport) -> None:
        """Ask the gate, publish if it says so."""
        parts = self.parts
        self._tell("gating")
        with parts.clock.doing("gating"):
            verdict, packet = parts.press.submit(self.model, report.errors)
        scores = {"heldout": verdict.new, "previous": verdict.previous}
        facts = {name: None if score is None else score.facts for name, score in scores.items()}
        row = {"event": "gate", "generation": generation, "publish": verdict.publish, "reason": verdict.reason}
        parts.epoch.journal.append({**row, **facts})
        self.schedule = self.schedule.fitted(labels, verdict.publish)
        if packet is None:
            parts.log.info("generation %d is not published: %s", generation, verdict.reason)
        else:
            self._announce(packet, verdict, report)

    def _announce(self, packet: Packet, verdict: Verdict, report: FitReport) -> None:
        """Rows and lines about a new generation."""
        parts, score = self.parts, verdict.new
        row: dict[str, Any] = {
            "event": "published",
            "generation": packet.number,
            "digest": packet.digest,
            "batches": list(parts.intake.dataset.names),
            "parents": list(parts.press.parents),
            "heldout_energy_rmse_meV_per_atom": score and score.energy_rmse_meV_per_atom,
            "heldout_force_rmse_eV_per_A": score and score.force_rmse_eV_per_A,
            "predicted_acceptance": score and score.predicted_acceptance,
            **{f"training_{name}": value for name, value in report.errors.items()},
            "unix": time.time(),
        }
        parts.epoch.journal.append(row, durable=True)
        parts.log.info("generation %d is published: %s", packet.number, verdict.reason)
        if score is not None:
            self.parts.epoch.heartbeat.update(predicted_acceptance=score.predicted_acceptance)

    def _failed(self, error: LearnFailed, before: Model | None) -> None:
        """Go back to the model before this fit; give up after some failures in a row."""
        self.model = before
        self._failed_fits += 1
        self.parts.log.warning("the fit failed: %s", error)
        if self._failed_fits >= FAILED_FITS:
            raise error
        self.schedule = self.schedule.fitted(self._labels()[0], published=False)

    def _on_epoch(self, generation: int) -> Callable[[Mapping[str, float]], None]:
        """What a fit calls with every row."""

        def write(row: Mapping[str, float]) -> None:
            self.parts.epoch.journal.append({"event": "epoch", "generation": generation, **row})
            self._tell("training", fit_step=row.get("step"), fit_steps=row.get("steps"), loss=row.get("loss"))

        return write

    def _on_progress(self, snapshot: Callable[[], Model]) -> None:
        if time.monotonic() - self._saved_at > SAVE_EVERY_S:
            with self.parts.clock.doing("publishing"):
                self._save(snapshot())

    # --- state ----------------------------------------------------------------------------------

    def _stop_reason(self, at_once: bool = False) -> str | None:
        """Why to stop; files are looked at now and then only, an optimiser step takes milliseconds."""
        now = time.monotonic()
        if self._reason is None and (at_once or now - self._looked_at > LOOK_EVERY_S):
            self._looked_at = now
            if self.parts.epoch.superseded():
                raise RoleTaken("a newer trainer has taken over", str(self.parts.epoch.folder), "this one ends")
            self._reason = self.parts.shutdown.reason()
        return self._reason

    def _generation(self) -> int:
        return -1 if self.parts.press.previous is None else self.parts.press.previous.generation

    def _labels(self) -> tuple[int, int]:
        return self.parts.intake.dataset.labels

    def _tell(self, activity: str, **facts: Any) -> None:
        """Put the state into the heartbeat."""
        train, heldout = self._labels()
        state = PeerState.PAUSED if activity == "paused" else PeerState.ALIVE
        where = {"generation": self._generation(), "labels_train": train, "labels_heldout": heldout}
        totals = self.parts.clock.totals()
        self.parts.epoch.heartbeat.update(
            state, activity=activity, device=self.parts.learner.device, activities=totals, **where, **facts
        )

    def _save(self, model: Model | None = None) -> None:
        """Checkpoint: the model, the names of the consumed batches, and where the schedule stands."""
        parts = self.parts
        model = self.model if model is None else model
        previous = parts.press.previous
        cursor = {"batch": -1, "generation": self._generation(), "row": parts.epoch.journal.rows_written}
        parts.epoch.save_checkpoint(
            {
                "cursor": cursor,
                "model": None if model is None else parts.learner.dump(model),
                "batches": list(parts.intake.dataset.names),
                "published": None if previous is None else previous.dump(),
                "schedule": self.schedule.dump(),
                "released": self._released,
            }
        )
        parts.intake.acknowledge()
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        """Take up what the last start left."""
        parts, state = self.parts, self.parts.epoch.adopted.checkpoint
        if state is None:
            return
        parts.intake.resume(state["batches"], parts.store)
        self.model = None if state["model"] is None else parts.learner.restore(state["model"])
        parts.press.previous = None if state["published"] is None else recall(state["published"], parts.store)
        self.schedule = Schedule.restore(state["schedule"])
        self._released = state.get("released", False)
        parts.log.info("resumed at generation %d with %d batches", self._generation(), len(parts.intake.dataset.names))
