"""What a two-level block does step by step, when it gives up, how it plans its run, and what a checkpoint keeps."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from kernels import statistics, two_level
from protocol import checkpoint
from protocol.records import Phase
from protocol.sections import Phases, TwoLevel
from sim_daemon.chain import Block, Chain, restore
from sim_daemon.samplers.base import Info, Move, Plan, State
from sim_daemon.schedule import Recorded, entry, plan_of
from sim_daemon.two_level import EQUILIBRATION, Walk, begin_walk

FROZEN = Plan(Phase.PRODUCTION, 1, 4, "abc", 0.5, 80.0)
WALKERS, CHAIN = 4, 20
SECONDS = {  # labels of a probe take 2 s, some of them on other ranks
    Move.EQUILIBRATE: {"surrogate": 0.02, "surrogate_imbalance": 0.01, "io": 0.01},
    Move.PROBE: {"surrogate": 0.1, "engine": 1.5, "imbalance": 0.5},
}


def walk(**rules):
    return Walk(TwoLevel(**rules), WALKERS, stretch_moves=10, apart=5)


def info(move, rng, spread):
    if move is Move.METROPOLIS:
        return Info(True, "accepted", 0.0, 0.0, 0.0, 100, 50.0, (), 8, 0, {})
    energy, u = rng.normal(0, 0.1), rng.normal(0, spread)
    seen = {"surrogate_energy_virial_eV": energy}
    if move in (Move.PROBE, Move.LEVEL_2):
        seen |= {"energy_virial_eV": energy + 0.01 * u, "log_weight": -u + 300.0}
    return Info(True, "walked", math.nan, 0.0, math.nan, 40, 20.0, (), 0, 0, seen)


def advance(block, rng, spread=0.2, most=10**6, recorded=()):
    """Play the daemon until the block has ended; returns the plans and the ledger's rows."""
    plans, told = [], []
    while not block.ended() and len(plans) < most:
        plan = block.plan(FROZEN)
        plans.append(plan)
        block.observe(plan, [info(plan.move, rng, spread) for _ in range(WALKERS)], SECONDS.get(plan.move, {}))
        if block.walk.probed() and not block.gave_up():
            told.append(block.walk.allocate(block.number, recorded))
    return plans, told


def runs_of(moves):
    """[(move, how often in a row)]."""
    found = []
    for move in moves:
        if found and found[-1][0] == move:
            found[-1][1] += 1
        else:
            found.append([move, 1])
    return [tuple(run) for run in found]


def test_the_course_of_a_block():
    block = Block(1, CHAIN, walk=walk(rings=8, surrogate_samples=80))
    plans, told = advance(block, np.random.default_rng(1))
    assert runs_of(plan.move for plan in plans) == [
        (Move.EQUILIBRATE, EQUILIBRATION),
        (Move.PROBE, 5),
        (Move.METROPOLIS, CHAIN),
        (Move.EQUILIBRATE, EQUILIBRATION),
        (Move.LEVEL_1, 9),
        (Move.LEVEL_2, 1),
        (Move.LEVEL_1, 9),
        (Move.LEVEL_2, 1),
    ]
    assert {plan.chain_moves for plan in plans if plan.move is Move.PROBE} == {50}
    assert [plan for plan in plans if plan.move is Move.METROPOLIS] == [FROZEN] * CHAIN
    assert [(row["event"], row["every"], row["ring_steps"]) for row in told] == [("allocation", 10, 2)]
    assert block.refusal() == ""
    assert not block.gave_up()
    assert block.progress() == {"rings": 8, "rings_planned": 8}


def test_bad_probes_end_the_block_before_the_chain():
    block = Block(1, CHAIN, walk=walk())
    plans, told = advance(block, np.random.default_rng(1), spread=2.0)
    assert (block.gave_up(), block.steps, told) == (True, 0, [])
    assert plans[-1].move is Move.PROBE
    assert "20 labelled rings of the surrogate count as" in block.refusal()
    assert block.summary() == {"reason": block.refusal()}
    wide = Block(1, CHAIN, walk=walk())
    advance(wide, np.random.default_rng(3), spread=0.7)
    assert "the spread of beta (V_FP - V_ML)" in wide.refusal()


def test_a_refused_ring_ends_it_too():
    block = Block(1, CHAIN, walk=walk())
    block.walk.log_weights = [[0.0, math.nan]]
    assert "1 of 2 labelled rings of the surrogate were refused" in block.walk.bad()


def test_weights_of_the_run_send_a_complete_block_back():
    rng = np.random.default_rng(1)
    block = Block(1, CHAIN, walk=walk(rings=40, surrogate_samples=80))
    advance(block, rng, most=EQUILIBRATION + 5)
    advance(block, rng, spread=1.5)
    assert not block.gave_up()
    assert "count as" in block.refusal()


def test_a_spread_that_no_mean_is_quoted_with_sends_a_complete_block_back():
    rng = np.random.default_rng(1)
    block = Block(1, CHAIN, walk=walk(rings=200, surrogate_samples=400))
    advance(block, rng, spread=0.42)
    assert not block.gave_up()
    assert "more than 0.35" in block.refusal()


def test_the_plan_follows_the_closed_form():
    """Independent samples of variance V1; rings of V2; seconds as booked: 0.01 a sample, 0.5 a ring."""
    block = Block(1, CHAIN, walk=walk(probe_rings=48))
    advance(block, np.random.default_rng(5), most=EQUILIBRATION + 11)
    states = block.walk
    plan = block.plan(FROZEN)
    states.observe(plan, [info(plan.move, np.random.default_rng(6), 0.2) for _ in range(WALKERS)], SECONDS[Move.PROBE])
    told = states.proposal()
    assert (told["sample_s"], told["ring_s"]) == (pytest.approx(0.01), pytest.approx(0.5))
    surrogate, target = (
        np.array([row[name] for row in states.probes]).ravel() for name in ("surrogate_energy_virial_eV", "energy_virial_eV")
    )
    second = two_level.second_variance(surrogate, target, np.array(states.log_weights).ravel())
    series = np.array([row["surrogate_energy_virial_eV"] for row in states.samples[EQUILIBRATION // 2 :]])
    first = 2 * statistics.autocorrelation_time(series) * series.var(ddof=1)
    assert told["ratio"] == pytest.approx(math.sqrt(first * 0.5 / (second * 0.01)))
    assert (told["ring_steps"], told["every"]) == (25, math.ceil(told["ratio"]))


@pytest.mark.parametrize(
    ("rules", "ring_steps", "every"),
    [
        ({"rings": 50, "surrogate_samples": 2000}, 13, 39),
        ({"rings": 200, "surrogate_samples": 100}, 50, 5),  # rings lie 100 fs apart all the same
    ],
)
def test_numbers_of_the_user(rules, ring_steps, every):
    block = Block(1, CHAIN, walk=walk(**rules))
    _, [told] = advance(block, np.random.default_rng(5))
    assert (told["ring_steps"], told["every"]) == (ring_steps, every)
    assert block.walk.steps[Move.LEVEL_2] == ring_steps


def test_samples_of_the_user_give_the_rings():
    block = Block(1, CHAIN, walk=walk(surrogate_samples=20_000))
    _, [told] = advance(block, np.random.default_rng(5), most=EQUILIBRATION + 5)
    assert told["ring_steps"] == math.ceil(round(20_000 / told["ratio"]) / WALKERS) > 25
    assert told["every"] * told["ring_steps"] * WALKERS >= 20_000


def test_a_recorded_plan_is_followed():
    """Costs are seconds of a machine: a replay must not measure them anew."""
    row = {"event": "allocation", "block": 1, "every": 7, "ring_steps": 3}
    block = Block(1, CHAIN, walk=walk())
    _, told = advance(block, np.random.default_rng(5), recorded=[Recorded([]), Recorded([row])])
    assert told == [row]
    assert block.walk.steps[Move.LEVEL_1] + block.walk.steps[Move.LEVEL_2] == 21


def disagreeing(until):
    """An info of walkers that stand apart from one another for the first samples of the run."""
    rng, count = np.random.default_rng(3), [0]

    def make(move):
        seen = [info(move, rng, 0.2) for _ in range(WALKERS)]
        if move in (Move.LEVEL_1, Move.LEVEL_2):
            count[0] += 1
            for walker in range(WALKERS if count[0] <= until else 0):
                seen[walker].observables["surrogate_energy_virial_eV"] += walker
        return seen

    return make


def lengthened(until, most=10**6, block=None, make=None):
    """Play the daemon with starts that disagree for so many samples; the block and why it went on."""
    block, make = block or Block(1, CHAIN, walk=walk(rings=40, surrogate_samples=800)), make or disagreeing(until)
    reasons = []
    for _ in range(most):
        plan = block.plan(FROZEN)
        block.observe(plan, make(plan.move), SECONDS.get(plan.move, {}))
        if block.walk.probed():
            block.walk.allocate(1, [])
        reasons += [block.walk.lengthen()] if block.ended() else []
        if block.ended():
            break
    return block, [reason for reason in reasons if reason]


@pytest.mark.parametrize(
    ("until", "times", "samples", "rings"),
    [(0, 0, 200, 40), (100, 2, 800, 80), (10**6, 3, 1600, 100)],
)
def test_a_run_goes_on_while_its_starts_disagree(until, times, samples, rings):
    block, reasons = lengthened(until)
    done = block.walk.steps
    assert len(reasons) == block.walk.lengthened == times
    assert done[Move.LEVEL_1] + done[Move.LEVEL_2] == samples
    assert block.progress() == {"rings": rings, "rings_planned": rings}
    assert all("R-hat over its starts is" in reason for reason in reasons)
    assert block.refusal() == ""


def test_a_lengthened_run_goes_on_after_a_restart_in_the_same_way():
    whole, reasons = lengthened(100)
    make = disagreeing(100)
    begun, first = lengthened(100, most=len(whole.walk.run["surrogate_energy_virial_eV"]) // 2, make=make)
    again = Block.restore(checkpoint.load(checkpoint.dump(begun.dump())), begun.walk.rules)
    assert again.walk == begun.walk
    done, second = lengthened(100, block=again, make=make)
    assert first + second == reasons
    assert done.walk == whole.walk


@pytest.mark.parametrize("after", [3, EQUILIBRATION + 2, EQUILIBRATION + 10, 2 * EQUILIBRATION + 40])
def test_a_restart_goes_on_in_the_same_way(after):
    rules = TwoLevel(rings=40, surrogate_samples=400)
    whole, halved = (Block(1, CHAIN, walk=Walk(rules, WALKERS, 10, 5)) for _ in range(2))
    plans, told = advance(whole, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    begun, first = advance(halved, rng, most=after)
    state = State(*(np.zeros((4, 2, 3, 3)),) * 4, aside=np.ones((4, 2, 3, 3)))
    chain = Chain(state, after, Phase.PRODUCTION, FROZEN, halved)
    again = restore(checkpoint.load(checkpoint.dump(chain.dump())), rules)
    np.testing.assert_array_equal(again.state.aside, state.aside)
    rest, second = advance(again.block, rng)
    assert begun + rest == plans
    assert first + second == told
    assert again.block.summary() == whole.summary()
    assert dataclasses.asdict(again.block.walk) == dataclasses.asdict(whole.walk)


def test_the_plan_of_a_walk_goes_through_the_ledger():
    plan = Block(1, CHAIN, walk=walk()).plan(FROZEN)
    assert plan_of(entry(7, plan)) == plan


def test_stretches_are_forty_time_steps_and_rings_a_hundred_femtoseconds_apart():
    phases = Phases.model_validate({"production": {"estimator": "two_level", "steps": 30}})
    sampler = SimpleNamespace(segment=None, walkers=3)
    made = begin_walk(SimpleNamespace(phases=phases, sampler=sampler), 0.5)
    assert (made.walkers, made.stretch_moves, made.apart) == (3, 10, 5)
    assert begin_walk(SimpleNamespace(phases=phases, sampler=sampler), 0.6).apart == 5
    assert begin_walk(SimpleNamespace(phases=phases, sampler=sampler), 4.0).apart == 1


def test_settings_that_do_not_fit():
    with pytest.raises(ValueError, match="two_level is for estimator: two_level"):
        Phases.model_validate({"production": {"two_level": {}}})
    with pytest.raises(ValueError, match="at least 20 steps"):
        Phases.model_validate({"production": {"estimator": "two_level", "steps": 0}})
    with pytest.raises(ValueError, match="auto or >= 8"):
        TwoLevel(rings=0)
