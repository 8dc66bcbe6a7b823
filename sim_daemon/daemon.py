"""The simulator's loop: look at the channel, step, write the ledger, publish labels, checkpoint; says when to stop."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
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
from sim_daemon.chain import Block, Chain
from sim_daemon.models import Models
from sim_daemon.samplers.base import Info, Move, Plan, Sampler
from sim_daemon.system import System
from sim_daemon.trajectory_file import Frame
from sim_daemon.world import Abandoned

LOOK_S = 2.0  # in adapt, between two looks at the channel: a better model should not wait for a long segment
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
    ) -> None:
        self.name, self.science, self.system = name, science, system
        self.sampler, self.adapter, self.models = sampler, adapter, models
        self.epoch, self.clock, self.shutdown, self.log = epoch, clock, shutdown, log
        self.chain: Chain | None = None
        self.recorded: list[schedule.Recorded] = []
        self.step_limit: int | None = None
        self.guard_energy_eV = 0.0
        self.costs = {"engine_calls": 0, "engine_failures": 0, "labels": 0}
        self._batches = epoch.adopted.batch
        self._segments = 0
        self._plan: Plan | None = None
        self._pairs: list[tuple[Label, Origin]] = []
        self._frames: list[Frame] = []
        self._rings = 0
        self._recent: list[bool] = []
        self._looked = 0.0
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
            if self.shutdown.paused():
                self._pause()
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
            if self._stop_reason() or self.shutdown.paused() or time.monotonic() > deadline:
                return
            if self.chain.phase is Phase.ADAPT and time.monotonic() > self._looked + LOOK_S:
                self._look()

    def _one_step(self) -> None:
        chain = self.chain
        assert chain is not None
        number = chain.step + 1
        plan = self._next_plan(number)
        if plan != self._plan:
            self._event(schedule.entry(number, plan))
            self._plan = plan
        surrogate = self.models.surrogate(plan.digest)
        chain.state, infos = self.sampler.step(chain.state, surrogate, plan, step_rng(self.science.seed, self.name, number))
        chain.step = number
        self._record(number, plan, infos)
        if plan.phase is Phase.ADAPT:
            self.adapter.observe(plan, infos)
        elif chain.block is not None:
            chain.block.observe(infos)
            if chain.block.steps >= chain.block.length:
                self._end_block(chain.block)

    # --- the schedule ---------------------------------------------------------------------------

    def _next_plan(self, step: int) -> Plan:
        """Recorded where a record covers the step, frozen in production, the adapter's otherwise."""
        chain = self.chain
        assert chain is not None
        for record in self.recorded:
            imposed = record.plan(step)
            if imposed:
                self._follow(imposed)
                return imposed
        if chain.phase is Phase.ADAPT:
            self._maybe_freeze(step)
        if chain.phase is Phase.PRODUCTION:
            assert chain.frozen is not None
            return chain.frozen
        generation, digest = self._surrogate_in_adapt()
        step_fs, length_fs = self.adapter.timestep_fs(), self.adapter.trajectory_fs(generation)
        move = self.adapter.move(generation)
        knobs = self.adapter.knobs(generation, move)
        return Plan(Phase.ADAPT, chain.blocks_done, generation, digest, step_fs, length_fs, move, **knobs)

    def _surrogate_in_adapt(self) -> tuple[int, str]:
        """Generation and digest of the next adapt step: the newest, unless trials in hand must end first."""
        adapter, newest = self.adapter, self._newest()
        if adapter.wants_rescue():
            return -1, ""
        if newest[0] >= 0 and adapter.holds():
            return adapter.trials.generation, self.models.digest(adapter.trials.generation)
        return newest

    def _newest(self) -> tuple[int, str]:
        """Generation and digest of the newest weights; first principles alone where there are none, or none are used."""
        newest = self.models.newest
        if newest is None or not self.adapter.learns:
            return -1, ""
        return newest.card.generation, newest.packet.digest

    def _follow(self, plan: Plan) -> None:
        """Keep the phase in step with an imposed schedule."""
        chain = self.chain
        assert chain is not None
        if plan.phase is Phase.PRODUCTION and chain.block is None:
            self._open_block(plan)
        elif plan.phase is Phase.ADAPT:
            chain.phase, chain.frozen = Phase.ADAPT, None

    def _maybe_freeze(self, step: int) -> None:
        reason = self._freeze_reason()
        if not reason:
            return
        trials = self.adapter.trials
        generation, digest = self._newest()
        tried = self.adapter.converged()
        step_fs, length_fs = self.adapter.timestep_fs(), self.adapter.trajectory_fs(generation)
        knobs = self.adapter.knobs(generation, Move.METROPOLIS)
        plan = Plan(Phase.PRODUCTION, 0, generation, digest, step_fs, length_fs, **knobs)
        if tried:  # what was tried is frozen, even if newer weights lie in the folder
            plan = dataclasses.replace(
                plan,
                generation=trials.generation,
                digest=self.models.digest(trials.generation),
                trajectory_fs=trials.trajectory_fs,
            )
        self._open_block(plan)
        self._event({"event": "freeze", "step": step, "reason": reason, "criteria": self.adapter.criteria()})
        length = (
            f"chains up to {plan.chain_moves} moves" if plan.chain_moves else f"trajectories up to {plan.trajectory_fs:.0f} fs"
        )
        self.log.info("production starts at step %d (%s): generation %d, %s", step, reason, plan.generation, length)

    def _freeze_reason(self) -> str:
        if "FREEZE" in self.epoch.fresh_controls():
            return "FREEZE was asked for"
        if self.adapter.converged():
            return "converged"
        if self.adapter.steps >= self.science.phases.adapt.max_steps:
            return "adapt reached max_steps without convergence"
        return ""

    def _open_block(self, plan: Plan) -> None:
        chain = self.chain
        assert chain is not None
        number = chain.blocks_done + 1
        chain.phase = Phase.PRODUCTION
        chain.frozen = dataclasses.replace(plan, block=number)
        chain.block = Block(number, self.science.phases.production.steps)
        if chain.block.length == 0:
            chain.finished = True

    def _end_block(self, block: Block) -> None:
        chain = self.chain
        assert chain is not None
        chain.blocks_done, chain.block = block.number, None
        self._event({"event": "block_end", "block": block.number, **block.summary()})
        sticky = block.sticky()
        if not sticky or block.number >= self.science.phases.production.max_blocks:
            chain.finished = True
            return
        chain.phase, chain.frozen = Phase.ADAPT, None
        self.adapter.restart()
        self._event({"event": "thaw", "block": block.number, "reason": sticky})
        self.log.warning("block %d is not to be quoted (%s): back to adapt", block.number, sticky)

    # --- what is written ------------------------------------------------------------------------

    def _event(self, row: Mapping[str, Any]) -> None:
        with self.clock.doing("io"):
            self.epoch.journal.append(dict(row), durable=True)

    def _record(self, step: int, plan: Plan, infos: tuple[Info, ...]) -> None:
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
                self.epoch.journal.append(_row(step, walker, plan, info, seconds if walker == 0 else {}), durable=False)
        self.costs["engine_calls"] += sum(info.engine_calls for info in infos)
        self.costs["engine_failures"] += sum(info.engine_failures for info in infos)
        if plan.move is Move.METROPOLIS:
            self._recent = (self._recent + [info.accepted for info in infos])[-RECENT * len(infos) :]
        self._show(plan)

    def _show(self, plan: Plan) -> None:
        chain = self.chain
        assert chain is not None
        block = chain.block
        self.epoch.heartbeat.update(
            phase=str(plan.phase),
            step=chain.step,
            block=plan.block,
            block_step=block.steps if block else 0,
            steps_planned=self.science.phases.production.steps,
            generation=plan.generation,
            acceptance_recent=round(float(np.mean(self._recent)), 3) if self._recent else None,
            timestep_fs=plan.timestep_fs or None,
            trajectory_fs=plan.trajectory_fs or None,
            chain_moves=plan.chain_moves or None,
            engine_calls=self.costs["engine_calls"],
            labels=self.costs["labels"],
            activities=self.clock.totals(),
        )

    def publish(self, pairs: list[tuple[Label, Origin]], phase: Phase, generation: int) -> None:
        """Send labels to the trainer."""
        if not pairs:
            return
        with self.clock.doing("io"):
            self._batches += 1
            self.epoch.publish_batch(self._batches, labels.batch(pairs), {"phase": str(phase), "generation": generation})
            self.epoch.journal.append({"event": "batch", "number": self._batches, "labels": len(pairs)}, durable=False)
        self.costs["labels"] += len(pairs)
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
            self.adapter.adjust()
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

    def _pause(self) -> None:
        self.epoch.heartbeat.update(state="paused")
        with self.clock.doing("waiting"):
            time.sleep(0.5)
        self.epoch.heartbeat.update(state="alive")

    def _finish(self, reason: str) -> str:
        self._event({"event": "end", "reason": reason, "activities": self.clock.totals()})
        self.checkpoint()
        assert self.chain is not None
        self.log.info(
            "%s at step %d%s", reason, self.chain.step, "" if self.chain.finished else "; run the same command to go on"
        )
        return reason


def _row(step: int, walker: int, plan: Plan, info: Info, seconds: Mapping[str, float]) -> dict[str, Any]:
    """One row of the ledger."""
    cell = {} if info.log_ratio_cell is None else {"log_ratio_cell": _finite(info.log_ratio_cell)}
    return {
        "event": "step",
        "step": step,
        "walker": walker,
        "phase": str(plan.phase),
        "block": plan.block,
        "generation": plan.generation,
        "digest": plan.digest,
        "move": str(plan.move),
        "timestep_fs": plan.timestep_fs,
        "md_steps": info.md_steps,
        "length_fs": info.length_fs,
        "accepted": info.accepted,
        "outcome": info.outcome,
        "log_ratio": _finite(info.log_ratio),
        "log_ratio_integrator": _finite(info.log_ratio_integrator),
        "log_ratio_model": _finite(info.log_ratio_model),
        **cell,
        "engine_calls": info.engine_calls,
        "engine_failures": info.engine_failures,
        "observables": dict(info.observables),
        **({"counts": dict(info.counts)} if info.counts else {}),
        "seconds": dict(seconds),
        "unix": round(time.time(), 3),
    }


def _finite(x: float) -> float | None:
    return float(x) if np.isfinite(x) else None
