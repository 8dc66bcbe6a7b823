"""Adapt, freeze, production blocks, back to adapt: which plan the next step has, and what a step that was made changes.

Decided from the chain in hand, the adapter and the newest weights. Nothing is written here: what is decided goes as a Decision to
the loop (daemon.py), which puts it into the ledger and the log.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from protocol import names
from protocol.records import Phase
from protocol.settings import Science
from sim_daemon import schedule
from sim_daemon.adapt import Adapter
from sim_daemon.block import Block, watched
from sim_daemon.chain import Chain
from sim_daemon.models import Models
from sim_daemon.samplers.base import Info, Move, Plan
from sim_daemon.two_level import begin_walk

ASKED = "FREEZE was asked for"


class Decision(NamedTuple):
    """What was decided."""

    row: Mapping[str, Any]  # of the ledger, durable before the next step starts
    said: str = ""  # in the log; "": nothing
    warns: bool = False


class Phases:
    """The rules by which a chain goes from adapt to production and back; the Chain that it is given is changed in place."""

    def __init__(self, science: Science, adapter: Adapter, models: Models, controls: Callable[[], Collection[str]]) -> None:
        """controls: asked for the names of the control files that count now."""
        self._science, self._production = science, science.phases.production
        self._adapter, self._models, self._controls = adapter, models, controls
        self.recorded: list[schedule.Recorded] = []  # imposed; the first that covers a step is followed
        self._heeded = False  # FREEZE, as long as it lies there

    def plan(self, chain: Chain) -> tuple[Plan, list[Decision]]:
        """The next step's plan: recorded where a record covers the step, frozen in production, the adapter's otherwise.

        With it what was decided on the way: that production begins.
        """
        imposed = schedule.imposed(self.recorded, chain.step + 1)
        if imposed:
            return imposed, self._follow(chain, imposed)
        reason = self._freeze_reason() if chain.phase is Phase.ADAPT else ""
        decisions = [self._freeze(chain, reason)] if reason else []
        if chain.phase is Phase.ADAPT:
            return self._plan_in_adapt(chain), decisions
        assert chain.frozen is not None
        return chain.frozen if chain.block is None else chain.block.plan(chain.frozen), decisions

    def observe(self, chain: Chain, plan: Plan, infos: tuple[Info, ...], seconds: Mapping[str, float]) -> list[Decision]:
        """Take the step that was made under a plan, of all walkers; seconds: by activity.

        Returns what follows from it: the plan of two levels, a longer block, its end, the way back to adapt. Raises BadSetting
        where the goal of production names what the ledger does not have.
        """
        numbers = watched(self._production.until, plan, infos)
        if plan.phase is Phase.ADAPT:
            self._adapter.observe(plan, infos, seconds)
            return []
        block = chain.block
        if block is None:
            return []
        block.observe(plan, infos, seconds, numbers)
        decisions = []
        if block.walk is not None and block.walk.probed() and not block.gave_up():
            decisions.append(Decision(block.walk.allocate(block.number, self.recorded)))
        if not block.ended():
            return decisions
        refusal = block.refusal()  # may simulate other chains: once
        decisions += [] if refusal else [*self._judge_goal(block), *self._judge_starts(block)]
        return decisions if not block.ended() else decisions + self._end_block(chain, block, refusal)

    def awaits_model(self, chain: Chain) -> bool:
        """Whether the first-principles steps before the first model are done, and the next one needs that model."""
        bound = self._science.coupling.first_principles_steps
        if bound is None or chain.step < bound or chain.phase is not Phase.ADAPT or not self._adapter.learns:
            return False
        if self._models.newest or schedule.imposed(self.recorded, chain.step + 1):
            return False
        return not self._freeze_reason()

    # --- adapt ----------------------------------------------------------------------------------

    def _plan_in_adapt(self, chain: Chain) -> Plan:
        adapter = self._adapter
        generation, digest = self._surrogate_in_adapt()
        step_fs, length_fs = adapter.timestep_fs(), adapter.trajectory_fs(generation)
        move = adapter.move(generation)
        if move is Move.EXPLORE:  # holes are found far from where trials end
            length_fs = max(length_fs, adapter.first_fs)
        knobs = adapter.knobs(generation, move)
        return Plan(Phase.ADAPT, chain.blocks_done, generation, digest, step_fs, length_fs, move, **knobs)

    def _surrogate_in_adapt(self) -> tuple[int, str]:
        """Generation and digest of the next adapt step: the newest, unless trials in hand must end first."""
        adapter, newest = self._adapter, self._newest()
        if adapter.wants_rescue():
            return -1, ""
        if newest[0] >= 0 and adapter.holds():
            return adapter.trials.generation, self._models.digest(adapter.trials.generation)
        return newest

    def _newest(self) -> tuple[int, str]:
        """Generation and digest of the newest weights; first principles alone where there are none, or none are used."""
        newest = self._models.newest
        if newest is None or not self._adapter.learns:
            return -1, ""
        return newest.card.generation, newest.packet.digest

    # --- between the phases ---------------------------------------------------------------------

    def _follow(self, chain: Chain, plan: Plan) -> list[Decision]:
        """Keep the phase in step with an imposed schedule; the recorded freeze that opens a block is said again."""
        if plan.phase is Phase.PRODUCTION and chain.block is None:
            self._open_block(chain, plan)
            first = chain.step + 1
            told = next((record.freezes[first] for record in self.recorded if first in record.freezes), None)
            return [] if told is None else [Decision(told)]
        if plan.phase is Phase.ADAPT:
            chain.phase, chain.frozen = Phase.ADAPT, None
        return []

    def _freeze_reason(self) -> str:
        asked = names.FREEZE in self._controls()
        self._heeded &= asked  # the same file is heeded once: a block that was refused goes back to adapt
        if asked and not self._heeded:
            return ASKED
        if self._adapter.converged():
            return "converged"
        if self._adapter.steps >= self._science.phases.adapt.max_steps:
            return "adapt reached max_steps without convergence"
        return ""

    def _freeze(self, chain: Chain, reason: str) -> Decision:
        self._heeded |= reason == ASKED
        adapter, trials = self._adapter, self._adapter.trials
        generation, digest = self._newest()
        step_fs, length_fs = adapter.timestep_fs(), adapter.trajectory_fs(generation)
        knobs = adapter.knobs(generation, Move.METROPOLIS)
        plan = Plan(Phase.PRODUCTION, 0, generation, digest, step_fs, length_fs, **knobs)
        if adapter.converged():  # what was tried is frozen, even if newer weights lie in the folder
            tried, length_fs = trials.generation, trials.trajectory_fs
            plan = replace(plan, generation=tried, digest=self._models.digest(tried), trajectory_fs=length_fs)
        self._open_block(chain, plan)
        first = chain.step + 1
        length = (
            f"chains up to {plan.chain_moves} moves" if plan.chain_moves else f"trajectories up to {plan.trajectory_fs:.0f} fs"
        )
        return Decision(
            {"event": "freeze", "step": first, "reason": reason, "criteria": adapter.criteria()},
            f"production starts at step {first} ({reason}): generation {plan.generation}, {length}",
        )

    # --- blocks ---------------------------------------------------------------------------------

    def _open_block(self, chain: Chain, plan: Plan) -> None:
        number = chain.blocks_done + 1
        chain.phase = Phase.PRODUCTION
        chain.frozen = replace(plan, block=number, move=Move.METROPOLIS)
        chain.block = Block(number, self._production.steps)
        if self._production.estimator == "two_level" and plan.generation >= 0:
            chain.frozen = replace(chain.frozen, chain_moves=0)
            chain.block.walk = begin_walk(self._science, plan.timestep_fs)
        if chain.block.length == 0:
            chain.finished = True

    def _judge_goal(self, block: Block) -> list[Decision]:
        """Give a sound block that is not enough for its goal twice the length; the ledger says what it lacks."""
        goal = self._production.until
        lacking = block.shortfall(goal) if goal else {}
        if not lacking:
            return []
        row = {"event": "goal", "block": block.number, "steps": block.steps, "lacking": lacking}
        told = "; ".join(f"{name}: {text}" for name, text in lacking.items())
        longer = self._production.next_length(block.length)
        if longer == block.length:
            return [Decision(row, f"block {block.number} ends at max_steps without its goal ({told})", warns=True)]
        block.length = longer
        return [Decision(row, f"block {block.number} is doubled to {longer} steps ({told})")]

    def _judge_starts(self, block: Block) -> list[Decision]:
        """Lengthen the surrogate's run of a sound two-level block while its starts tell different things."""
        reason = block.walk.lengthen() if block.walk is not None else ""
        if not reason:
            return []
        row = {"event": "lengthen", "block": block.number, "reason": reason, **block.progress()}
        return [Decision(row, f"the surrogate's run of block {block.number} is doubled: {reason}")]

    def _end_block(self, chain: Chain, block: Block, refusal: str) -> list[Decision]:
        chain.blocks_done, chain.block = block.number, None
        row = {"event": "gave_up" if block.gave_up() else "block_end", "block": block.number, **block.summary()}
        if not refusal or block.number >= self._production.max_blocks:
            chain.finished = True
            return [Decision(row)]
        chain.phase, chain.frozen = Phase.ADAPT, None
        self._adapter.restart()
        thaw = {"event": "thaw", "block": block.number, "reason": refusal}
        said = f"block {block.number} is not to be quoted ({refusal}): back to adapt"
        return [Decision(row), Decision(thaw, said, warns=True)]
