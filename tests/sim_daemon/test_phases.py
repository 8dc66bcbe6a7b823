"""From adapt to production and back: a real chain and real blocks; an adapter and models that say what they are told."""

from types import SimpleNamespace

import pytest

from protocol import sections
from protocol.records import Phase
from protocol.sections import Coupling, TwoLevel
from sim_daemon.block import Block
from sim_daemon.chain import Chain
from sim_daemon.phases import Decision, Phases
from sim_daemon.samplers.base import Info, Move, Plan
from sim_daemon.schedule import Recorded, entry
from sim_daemon.two_level import EQUILIBRATION, Walk


class Teller:
    """An adapter with one answer to each question."""

    def __init__(self, **answers):
        told = {"converged": False, "holds": False, "wants_rescue": False, "move": Move.METROPOLIS, "knobs": {}, "criteria": {}}
        told |= {"timestep_fs": 0.5, "trajectory_fs": 20.0}
        self.learns, self.steps, self.first_fs = answers.pop("learns", True), answers.pop("steps", 0), 80.0
        self.trials = SimpleNamespace(generation=3, trajectory_fs=40.0)
        self.restarts, self.seen = 0, 0
        for name, answer in {**told, **answers}.items():
            setattr(self, name, lambda *_, answer=answer: answer)

    def observe(self, plan, infos, seconds):
        self.seen += 1

    def restart(self):
        self.restarts += 1


def newest(generation):
    """The newest weights."""
    known = SimpleNamespace(card=SimpleNamespace(generation=generation), packet=SimpleNamespace(digest=f"d{generation}"))
    return SimpleNamespace(newest=None if generation is None else known, digest=lambda g: f"d{g}")


def make(generation=5, controls=(), production=None, bound=None, **answers):
    """The rules of a run; production: keys of its section."""
    settings = sections.Phases(adapt={"max_steps": 100}, production={"steps": 4, "max_blocks": 2, **(production or {})})
    science = SimpleNamespace(phases=settings, coupling=Coupling(first_principles_steps=bound), sampler=SimpleNamespace())
    return Phases(science, Teller(**answers), newest(generation), lambda: controls)


def chain(step=10):
    return Chain(None, step)


def walk(phases, at, accepted, **observables):
    """Steps with these outcomes; returns what was decided, by event."""
    found: list[Decision] = []
    for taken in accepted:
        plan, decisions = phases.plan(at)
        at.step += 1
        found += [
            *decisions,
            *phases.observe(at, plan, (Info(taken, "", 0.0 if taken else -9.0, 0.0, 0.0, 9, 5.0, (), 8, 0, observables),), {}),
        ]
    return found


def events(decisions):
    return [decision.row["event"] for decision in decisions]


def test_adapt_takes_the_newest_weights_unless_trials_in_hand_must_end_first():
    plan, decisions = make().plan(chain())
    assert (plan.phase, plan.generation, plan.digest, plan.trajectory_fs, decisions) == (Phase.ADAPT, 5, "d5", 20.0, [])
    assert make(holds=True).plan(chain())[0].generation == 3
    assert make(holds=True, wants_rescue=True).plan(chain())[0].generation == -1
    assert make(None, holds=True).plan(chain())[0].generation == -1
    assert make(learns=False).plan(chain())[0].digest == ""


def test_exploring_goes_no_shorter_than_the_first_length():
    assert make(move=Move.EXPLORE).plan(chain())[0].trajectory_fs == 80.0


@pytest.mark.parametrize(
    ("changes", "reason", "frozen"),
    [
        ({"controls": ("FREEZE", "PAUSE")}, "FREEZE was asked for", (5, "d5", 20.0)),
        ({"steps": 100}, "adapt reached max_steps", (5, "d5", 20.0)),
        ({"converged": True}, "converged", (3, "d3", 40.0)),  # what was tried, though newer weights are there
    ],
)
def test_production_begins_with_what_was_tried(changes, reason, frozen):
    at = chain()
    plan, [decision] = make(**changes).plan(at)
    assert (plan.generation, plan.digest, plan.trajectory_fs) == frozen
    assert (plan.phase, plan.block, at.phase, at.block.number) == (Phase.PRODUCTION, 1, Phase.PRODUCTION, 1)
    assert (decision.row["event"], decision.row["step"], decision.warns) == ("freeze", 11, False)
    assert decision.row["reason"].startswith(reason)
    assert f"generation {frozen[0]}, trajectories up to {frozen[2]:.0f} fs" in decision.said


def test_a_sound_block_ends_the_run_and_its_plan_never_changes():
    phases, at = make(converged=True), chain()
    found = walk(phases, at, [True, False])
    assert phases.plan(at)[0] == at.frozen
    found += walk(phases, at, [True, True])
    assert events(found) == ["freeze", "block_end"]
    assert (at.finished, at.blocks_done, at.block, at.phase) == (True, 1, None, Phase.PRODUCTION)


def test_a_block_that_sticks_goes_back_to_adapt_until_there_were_enough_of_them():
    phases, at = make(converged=True, production={"steps": 60}), chain()
    stuck = [True, True, *[False] * 58]
    found = walk(phases, at, stuck)
    assert events(found) == ["freeze", "block_end", "thaw"]
    assert found[-1].warns
    assert "back to adapt" in found[-1].said
    assert (at.finished, at.phase, at.frozen, phases._adapter.restarts) == (False, Phase.ADAPT, None, 1)
    assert events(walk(phases, at, stuck)) == ["freeze", "block_end"]
    assert (at.finished, at.blocks_done) == (True, 2)


def test_a_freeze_that_was_asked_for_is_heeded_once():
    """A block that is refused goes back to adapt, though the file still lies there; one made anew counts again."""
    asked = {"FREEZE"}
    phases, at = make(controls=asked, production={"steps": 60, "max_blocks": 3}), chain()
    stuck = [True, True, *[False] * 58]
    assert events(walk(phases, at, stuck)) == ["freeze", "block_end", "thaw"]
    assert events(walk(phases, at, [True, True])) == []
    assert at.phase is Phase.ADAPT
    asked.clear()
    walk(phases, at, [True])
    asked.add("FREEZE")
    assert events(walk(phases, at, [True])) == ["freeze"]


def test_a_goal_doubles_the_block_to_its_bound():
    goal = {"steps": 4, "until": {"effective_samples": 50, "of": ["V"]}, "max_steps": 8}
    phases, at = make(converged=True, production=goal), chain()
    found = walk(phases, at, [True] * 8, V=1.0)
    assert events(found) == ["freeze", "goal", "goal", "block_end"]
    assert [(decision.row["steps"], decision.warns) for decision in found[1:3]] == [(4, False), (8, True)]
    assert "doubled to 8 steps" in found[1].said
    assert at.finished


def test_two_levels_whose_starts_disagree_go_on():
    """A run of 8 samples of two walkers that never meet: doubled three times, then it ends."""
    phases, at = make(), chain()
    at.phase, at.frozen = Phase.PRODUCTION, Plan(Phase.PRODUCTION, 1, 5, "d5", 0.5, 20.0)
    states = Walk(TwoLevel(), 2, 10, 1, steps={Move.EQUILIBRATE: 2 * EQUILIBRATION, Move.PROBE: 10}, every=2, ring_steps=4)
    at.block = Block(1, 4, steps=4, walk=states, log_ratios=[[0.0, 0.0]] * 4, accepted=[[True, True]] * 4)
    found, count = [], 0
    while not at.finished:
        plan, _ = phases.plan(at)
        seen = [{"surrogate_V": count % 3 + 9.0 * walker, "log_weight": 0.1 * walker} for walker in range(2)]
        infos = tuple(Info(True, "walked", 0.0, 0.0, 0.0, 9, 5.0, (), 0, 0, numbers) for numbers in seen)
        found += phases.observe(at, plan, infos, {})
        count += 1
    assert events(found) == ["lengthen"] * 3 + ["block_end"]
    assert count == 64
    assert [decision.row["rings_planned"] for decision in found[:3]] == [12, 16, 20]
    assert "R-hat over its starts is" in found[0].said


def test_a_recorded_schedule_is_followed_into_production_and_back():
    plans = [
        Plan(Phase.ADAPT, 0, 1, "d1", 0.5, 9.0),
        Plan(Phase.PRODUCTION, 1, 2, "d2", 0.4, 8.0),
        Plan(Phase.ADAPT, 1, 2, "d2", 0.5, 9.0),
    ]
    freeze = {"event": "freeze", "step": 12, "reason": "adapt reached max_steps without convergence"}
    rows = [entry(11, plans[0]), freeze, entry(12, plans[1]), entry(16, plans[2])]
    phases, at = make(converged=True), chain()
    phases.recorded = [Recorded([]), Recorded([*rows, *({"event": "step", "step": step} for step in range(11, 17))])]
    taken, told = [], []
    while at.step < 16:
        plan, decisions = phases.plan(at)
        taken.append(plan)
        told += decisions
        if at.step == 12:
            assert (at.phase, at.frozen, at.block.number) == (Phase.PRODUCTION, plans[1], 1)
        walk(phases, at, [True])
    assert taken == [plans[0], *[plans[1]] * 4, plans[2]]
    assert [decision.row for decision in told] == [freeze]  # the audit wants it, as in the chain that is repeated
    assert (at.phase, at.blocks_done) == (Phase.ADAPT, 1)


def test_the_first_model_is_awaited_after_the_steps_that_may_be_made_without_it():
    assert make(None, bound=3).awaits_model(chain(3))


@pytest.mark.parametrize(
    "changes", [{"bound": None}, {"bound": 4}, {"learns": False}, {"generation": 0}, {"controls": ("FREEZE",)}, {"steps": 100}]
)
def test_nothing_is_awaited(changes):
    assert not make(**{"generation": None, "bound": 3, **changes}).awaits_model(chain(3))


def test_nothing_is_awaited_in_production_or_under_a_recorded_plan():
    phases, at = make(None, bound=3), chain(3)
    at.phase = Phase.PRODUCTION
    assert not phases.awaits_model(at)
    phases.recorded = [Recorded([entry(1, Plan(Phase.ADAPT, 0, -1, "", 0.5, 5.0)), {"event": "step", "step": 4}])]
    assert not phases.awaits_model(chain(3))
    assert phases.awaits_model(chain(4))
