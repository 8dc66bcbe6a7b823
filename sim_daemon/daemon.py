"""The simulator's loop: look at the channel, step, write the ledger, publish labels, checkpoint; says when to stop."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kernels.random_numbers import step_rng
from protocol.activity import ActivityClock
from protocol.epoch import Epoch
from protocol.errors import RoleTaken
from protocol.records import Label, Origin, Phase
from protocol.settings import Science
from protocol.shutdown import Shutdown
from sim_daemon import labels, schedule, trajectory_file
from sim_daemon.adapt import Adapter
from sim_daemon.chain import Chain
from sim_daemon.ledger_row import ledger_row, progress
from sim_daemon.models import Models
from sim_daemon.phases import Decision, Phases
from sim_daemon.refusals import Refusals
from sim_daemon.samplers.base import Info, Move, Plan, Sampler
from sim_daemon.system import System
from sim_daemon.trainer_job import TrainerJob
from sim_daemon.trajectory_file import Frame
from sim_daemon.world import Abandoned

LOOK_S = 2.0  # in adapt, between two looks at the channel: a better model should not wait for a long segment
MORE_LABELS_S = 5.0  # after a publication: a trainer that waits for labels now needs more of them
RECENT = 50  # steps in the running acceptance that `status` shows


class Daemon:
    """Rank 0's side of one simulator, from its first step to its end."""

    def __init__(
        self,
        name: str,
        science: Science,
        system: System,
        sampler: Sampler,
        adapter: Adapter,
        models: Models,
        epoch: Epoch,
        clock: ActivityClock,
        shutdown: Shutdown,
        log: logging.Logger,
        trainer: TrainerJob,
    ) -> None:
        self.name, self.science, self.system = name, science, system
        self.sampler, self.adapter, self.models = sampler, adapter, models
        self.epoch, self.clock, self.shutdown, self.log = epoch, clock, shutdown, log
        self.trainer = trainer
        self.chain: Chain | None = None
        self.phases = Phases(science, adapter, models, epoch.fresh_controls)
        self.step_limit: int | None = None
        self.guard_energy_eV = 0.0
        self.batch_facts: dict[str, Any] = {}  # what the triggers of all batches say beside phase and generation
        self._refusals = Refusals()
        self.costs = {"engine_calls": 0, "engine_failures": 0, "labels": 0}
        self._batches = epoch.adopted.batch
        self._segments = 0
        self._plan: Plan | None = None
        self._pairs: list[tuple[Label, Origin]] = []
        self._frames: list[Frame] = []
        self._rings = 0
        self._recent: list[bool] = []
        self._looked = self._published = 0.0
        self._awaited = ""
        self._step_s: list[float] = []  # of the last steps of this start; its first one, which compiles, is left out
        clock.lap()  # what start-up took belongs to no step

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> str:
        """Sample until production is complete, a stop is asked for, or --steps is reached; returns the reason."""
        assert self.chain is not None
        self._look()
        while True:
            reason = self._stop_reason()
            if reason:
                return self._finish(reason)
            if self.shutdown.paused() or self._awaits_model():
                self._pause("" if self.shutdown.paused() else "its first model")
                self._look()
                continue
            self._segment()
            self._close_segment()

    def _stop_reason(self) -> str | None:
        assert self.chain is not None
        if self.epoch.superseded():
            raise RoleTaken(
                f"a newer daemon has taken over {self.epoch.role}",
                str(self.epoch.folder),
                "this one stops and has changed nothing",
            )
        if self.chain.finished:
            return "production is complete"
        if self.step_limit is not None and self.chain.step >= self.step_limit:
            return "--steps reached"
        if self.shutdown.too_late_for(max(self._step_s[1:], default=0.0)):
            return "time is up: the next step would not be done"
        return self.shutdown.reason()

    def _segment(self) -> None:
        """Steps between two looks at the channel."""
        assert self.chain is not None
        coupling = self.science.coupling
        planned = min(coupling.segment_steps, coupling.first_segment_steps * 2 ** min(self._segments, 20))
        self._segments += 1
        deadline = time.monotonic() + coupling.max_wait_s
        for _ in range(planned):
            try:
                self._one_step()
            except Abandoned:
                self.log.info("step %d is abandoned and will be repeated", self.chain.step + 1)
                return
            if self._stop_reason() or self.shutdown.paused() or self._awaits_model() or time.monotonic() > deadline:
                return
            if self.chain.phase is Phase.ADAPT and time.monotonic() > self._looked + LOOK_S:
                self._look()

    def _awaits_model(self) -> bool:
        """Whether the next step needs the first model; a trainer that still waits for labels gets more of them instead."""
        assert self.chain is not None
        return self.phases.awaits_model(self.chain) and not self._trainer_asks()

    def _trainer_asks(self) -> bool:
        """Whether it waits for labels although it has got all of them a while ago."""
        return not self._pairs and time.monotonic() > self._published + MORE_LABELS_S and self.trainer.waits()

    def _one_step(self) -> None:
        chain = self.chain
        assert chain is not None
        number = chain.step + 1
        plan, decisions = self.phases.plan(chain)
        self._tell(decisions)
        if plan != self._plan:
            self._event(schedule.entry(number, plan))
            self._plan = plan
        surrogate = self.models.surrogate(plan.digest)
        began = time.monotonic()
        chain.state, infos = self.sampler.step(chain.state, surrogate, plan, step_rng(self.science.seed, self.name, number))
        chain.step = number
        self._step_s = [*self._step_s[-8:], time.monotonic() - began]
        seconds = self._record(number, plan, infos)
        self._tell(self.phases.observe(chain, plan, infos, seconds))
        self._refusals.observe(plan, infos)

    # --- what is written ------------------------------------------------------------------------

    def _tell(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            self._event(decision.row)
            if decision.said:
                self.log.log(logging.WARNING if decision.warns else logging.INFO, "%s", decision.said)

    def _event(self, row: Mapping[str, Any]) -> None:
        with self.clock.doing("io"):
            self.epoch.journal.append(dict(row), durable=True)

    def _record(self, step: int, plan: Plan, infos: tuple[Info, ...]) -> dict[str, float]:
        chain = self.chain
        assert chain is not None
        self._pairs += labels.of_step(self.name, step, plan, infos, self._rings)
        self._rings += labels.rings(infos)
        self._frames.append(Frame(step, plan.phase, plan.block, chain.state.positions, chain.state.cells))
        for positions, cell, reason in labels.refusals(infos):
            structure = dataclasses.replace(self.system.structure, positions=positions, cell=cell)
            self.epoch.quarantine(labels.extended_xyz(structure, reason), f"step-{step:08d}.xyz", reason)
        seconds = {name: round(spent, 6) for name, spent in self.clock.lap().items()}
        with self.clock.doing("io"):
            for walker, info in enumerate(infos):
                self.epoch.journal.append(ledger_row(step, walker, plan, info, seconds if walker == 0 else {}), durable=False)
        self.costs["engine_calls"] += sum(info.engine_calls for info in infos)
        self.costs["engine_failures"] += sum(info.engine_failures for info in infos)
        if plan.move is Move.METROPOLIS:
            self._recent = (self._recent + [info.accepted for info in infos])[-RECENT * len(infos) :]
        self._show(plan)
        return seconds

    def _show(self, plan: Plan) -> None:
        chain = self.chain
        assert chain is not None
        planned = self.science.phases.production.steps
        accepted = round(float(np.mean(self._recent)), 3) if self._recent else None
        where = progress(plan, chain.block, planned) | self.costs | {"step": chain.step, "acceptance_recent": accepted}
        self.epoch.heartbeat.update(**where, activities=self.clock.totals())

    def publish(self, pairs: list[tuple[Label, Origin]], phase: Phase, generation: int) -> None:
        """Send labels to the trainer."""
        if not pairs:
            return
        with self.clock.doing("io"):
            self._batches, self._published = self._batches + 1, time.monotonic()
            facts = {"phase": str(phase), "generation": generation, **self.batch_facts}
            self.epoch.publish_batch(self._batches, labels.batch(pairs), facts)
            self.epoch.journal.append({"event": "batch", "number": self._batches, "labels": len(pairs)}, durable=False)
        self.costs["labels"] += len(pairs)
        self.adapter.labels += labels.kept(pairs, self.science.coupling.beads_per_ring)
        self.epoch.heartbeat.update(labels=self.costs["labels"])

    def _close_segment(self) -> None:
        """Publish the labels, close the trajectory, checkpoint, and look at the channel."""
        chain = self.chain
        assert chain is not None
        assert self._plan is not None
        self.publish(self._pairs, self._plan.phase, self._plan.generation)
        if self._frames:
            with self.clock.doing("io"):
                self.epoch.publish_trajectory(chain.step, trajectory_file.dump(self._frames, self.system.structure))
        self._pairs, self._frames, self._rings = [], [], 0
        if chain.phase is Phase.ADAPT:
            for row in self.adapter.adjust():
                self._event({**row, "step": chain.step})
            if self.adapter.learns:
                self.trainer.call_back()
        self.checkpoint()
        self._look()

    def checkpoint(self) -> None:
        """Everything that a restart needs, durable; the cursor says what of this epoch the next one adopts."""
        assert self.chain is not None
        with self.clock.doing("io"):
            cursor = {"batch": self._batches, "generation": -1, "row": self.epoch.journal.rows_written}
            extra = {
                "adapter": self.adapter.dump(),
                "guard_energy_eV": self.guard_energy_eV,
                "costs": self.costs,
                "segments": self._segments,
                "plan": None if self._plan is None else schedule.entry(self.chain.step + 1, self._plan),
            }
            self.epoch.save_checkpoint({"cursor": cursor, "chain": self.chain.dump(), **extra})

    def adopt(self, extra: Mapping[str, Any]) -> None:
        """Take the rest of a checkpoint (the chain is restored by the caller)."""
        self.adapter.restore(extra["adapter"])
        self.guard_energy_eV = extra["guard_energy_eV"]
        self.costs = dict(extra["costs"])
        self._segments = extra["segments"]

    def _look(self) -> None:
        self._looked = time.monotonic()
        with self.clock.doing("io"):
            for row in self.models.look():
                self.epoch.journal.append(row, durable=True)

    def _pause(self, awaits: str = "") -> None:
        """Half a second of waiting, for a person or for something from the trainer."""
        if awaits and self._awaited != awaits:
            self.log.info("waits for %s; the trainer is %s", awaits, self.trainer.state())
        self._awaited = awaits
        if awaits:
            self.trainer.call_back()
        self.epoch.heartbeat.update(state="paused")
        with self.clock.doing("waiting"):
            time.sleep(0.5)
        self.epoch.heartbeat.update(state="alive")

    def _finish(self, reason: str) -> str:
        self._event({"event": "end", "reason": reason, "activities": self.clock.totals()})
        self.checkpoint()
        assert self.chain is not None
        self.epoch.heartbeat.update(complete=self.chain.finished)
        self.log.info(
            "%s at step %d%s", reason, self.chain.step, "" if self.chain.finished else "; run the same command to go on"
        )
        return reason
