import math

import numpy as np
import pytest

from protocol.records import Phase
from sim_daemon.adapt import CALM_MOVES, EXPLORE_FIRST, GENERATIONS_WANTED, TRIAL_STEPS
from sim_daemon.adapt_local import (
    CHAIN_HIGHEST,
    CHAIN_LOWEST,
    FEWEST_MOVES,
    FIRST_PRINCIPLES_MOVES,
    HIGHEST,
    LOWEST,
    STUCK_AFTER,
    LocalAdapter,
    Width,
)
from sim_daemon.samplers.base import Info, Move, Plan


def adapter(longest=2000, chain=None, widths=None):
    made = LocalAdapter(13, chain, longest, widths or {}, 1)
    made.calm = CALM_MOVES
    return made


def plan(a, generation=0):
    move = a.move(generation)
    return Plan(Phase.ADAPT, 0, generation, "d", 0.0, 0.0, move, **a.knobs(generation, move))


def info(log_ratio=0.0, accepted=True, counts=None):
    return Info(accepted, "", log_ratio, 0.0, log_ratio, 10, 0.0, (), 1, 0, {}, counts=counts or {})


def live(a, steps, correlation, generation=0, seed=1, share=None):
    """Steps with a model whose error decorrelates over `correlation` moves: -beta dH is Gaussian, <exp> = 1."""
    rng = np.random.default_rng(seed)
    for number in range(steps):
        now = plan(a, generation)
        variance = 6.0 * (1 - math.exp(-now.chain_moves / correlation))
        ratio = rng.normal(-variance / 2, math.sqrt(variance))
        tried = now.chain_moves
        counts = {} if share is None else {"translation": tried, "translation_accepted": rng.binomial(tried, share(now.widths))}
        a.observe(now, [info(ratio, bool(math.log(rng.random()) < ratio), counts)])
        if number % 10 == 9:
            a.adjust()


def test_the_length_finds_an_acceptance_of_a_half_and_stays():
    a = adapter()
    for generation in range(GENERATIONS_WANTED - 1):
        live(a, EXPLORE_FIRST, 300.0, generation)
    live(a, EXPLORE_FIRST + 600, 300.0, GENERATIONS_WANTED - 1)
    expected = math.erfc(math.sqrt(3.0 * (1 - math.exp(-a.chain_moves / 300.0))) / 2)
    assert CHAIN_LOWEST - 0.1 < expected < CHAIN_HIGHEST + 0.1
    assert a.converged(), a.criteria()


def test_a_good_model_gets_the_longest_chains_and_a_bad_one_the_shortest():
    good, bad = adapter(longest=500), adapter()
    live(good, 400, 1e6)
    live(bad, 200, 0.5)
    assert good.chain_moves == 500
    assert bad.chain_moves == FEWEST_MOVES


def test_a_model_that_fails_at_the_shortest_chains_explores():
    a = adapter()
    live(a, EXPLORE_FIRST, 300.0)
    a.chain_moves = FEWEST_MOVES
    for _ in range(STUCK_AFTER):
        a.observe(plan(a), [info(-5.0, False)])
    assert a.move(0) is Move.EXPLORE
    assert not a.converged()


def test_a_long_run_of_rejections_shortens_at_once():
    a = adapter()
    live(a, EXPLORE_FIRST, 300.0)
    a.chain_moves = 400
    for _ in range(STUCK_AFTER):
        a.observe(plan(a), [info(-5.0, False)])
    assert a.chain_moves == 200
    assert a.move(0) is Move.METROPOLIS
    assert not a.wants_rescue()


def test_the_width_finds_forty_per_cent():
    a = adapter(chain=40, widths={"translation": Width(1.0, 1e-3, 3.0)})
    live(a, 300, 1e9, share=lambda widths: math.exp(-widths["translation"] / 0.11))
    share = math.exp(-a.widths["translation"].value / 0.11)
    assert LOWEST - 0.05 < share < HIGHEST + 0.05
    assert a.criteria()["met"]["widths"]


def test_a_width_at_its_bound_is_right_and_a_given_one_never_moves():
    free, given = Width(10.0, 0.1, 180.0), Width(0.2, 0.2, 0.2)
    for _ in range(40):
        for width in (free, given):
            width.observe(400, 396)
            width.adjust()
    assert (free.value, free.right) == (180.0, True)
    assert given.value == 0.2


def test_steps_without_a_surrogate_are_short_and_tune_widths():
    a = adapter(widths={"translation": Width(1.0, 1e-3, 3.0)})
    assert plan(a, -1).chain_moves == FIRST_PRINCIPLES_MOVES
    for _ in range(20):
        a.observe(plan(a, -1), [info(counts={"translation": 10, "translation_accepted": 0})])
    a.adjust()
    assert a.widths["translation"].value == 0.5


def test_an_imposed_plan_is_followed_and_begins_its_own_trials():
    a = adapter(widths={"translation": Width(0.1, 1e-3, 3.0)})
    live(a, EXPLORE_FIRST + 5, 300.0)
    imposed = Plan(Phase.ADAPT, 0, 0, "d", 0.0, 0.0, Move.METROPOLIS, 77, {"translation": 0.3})
    a.observe(imposed, [info()])
    assert a.knobs(0, Move.METROPOLIS) == {"chain_moves": 77, "widths": {"translation": 0.3}}
    assert len(a.trials.accepted) == 1


def test_exploring_chains_are_long_even_where_the_tested_ones_are_short():
    assert plan(adapter()).chain_moves == 500


def test_a_given_length_is_kept():
    a = adapter(chain=30)
    live(a, EXPLORE_FIRST + TRIAL_STEPS, 1e6)
    assert a.knobs(0, Move.METROPOLIS)["chain_moves"] == 30
    assert a.criteria()["met"]["acceptance"]


@pytest.mark.parametrize("steps", [5, 130])
def test_dump_and_restore(steps):
    a, b = (adapter(widths={"translation": Width(1.0, 1e-3, 3.0)}) for _ in range(2))
    live(a, steps, 300.0, share=lambda widths: 0.4)
    b.restore(a.dump())
    for one in (a, b):
        live(one, 60, 300.0, seed=2, share=lambda widths: 0.4)
    assert a.dump() == b.dump()


def test_back_to_adapt_after_a_block_that_stuck():
    a = adapter()
    a.chain_moves = 300
    a.restart()
    assert a.chain_moves == 150
    assert a.move(0) is Move.EXPLORE
