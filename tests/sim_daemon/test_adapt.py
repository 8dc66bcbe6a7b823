import math
from dataclasses import replace

import numpy as np
import pytest

from protocol.records import Phase
from sim_daemon.adapt import (
    CALM_MOVES,
    CELL_TARGET,
    EXPLORE_FIRST,
    EXPLORE_MOVES,
    FIRST_PRINCIPLES_STEPS,
    GENERATIONS_WANTED,
    LENGTH_SHARE,
    LENGTH_TRIALS,
    PROBE_TRIALS,
    SHORTEN_TRIALS,
    STEP_TUNING,
    STUCK_AFTER,
    TRIAL_STEPS,
    Adapter,
    DualAveraging,
)
from sim_daemon.moves.explore import HOLE
from sim_daemon.samplers.base import Info, Move, Plan


def info(accepted=True, log_ratio=0.0, integrator=-0.01, outcome="", length_fs=5.0):
    return Info(accepted, outcome, log_ratio, integrator, 0.0, 10, length_fs, (), 8, 0, {})


def adapter(calm=CALM_MOVES, **changes):
    """One that has explored enough."""
    told = {
        "timestep_fs": 0.5,
        "largest_timestep_fs": 1.5,
        "tune_step": False,
        "trajectory_fs": None,
        "longest_fs": 160.0,
        "walkers": 1,
        "learns": True,
    }
    made = Adapter(**{**told, **changes})
    made.calm = calm
    return made


def plan(a, generation=0):
    return Plan(Phase.ADAPT, 0, generation, "d", a.timestep_fs(), a.trajectory_fs(generation), a.move(generation))


def feed(a, outcomes, generation=0):
    """Outcomes of Metropolis trials, after the exploration that every generation begins with."""
    while a.move(generation) is Move.EXPLORE and (generation != a.trials.generation or not a.failed):
        a.observe(plan(a, generation), [info()])
    for accepted in outcomes:
        while not a.failed and a.move(generation) is Move.EXPLORE:
            a.observe(plan(a, generation), [info()])
        now = plan(a, generation)
        share = (0.382 * a.trials.count) % 1  # evenly over the octaves, as the law of the lengths
        a.observe(now, [info(accepted, length_fs=now.trajectory_fs * 8 ** (share - 1))])


def test_dual_averaging_finds_the_step_of_its_target():
    """An integrator whose error grows with the square of the step."""
    averaging = DualAveraging(0.5, 5.0, 0.95, 0.5 / 8)
    rng = np.random.default_rng(1)
    while averaging.trials < STEP_TUNING:
        averaging.update(float(rng.normal(-0.005, 0.1) * averaging.value**2 * 4))
    settled = averaging.value
    acceptance = np.exp(np.minimum(0, rng.normal(-0.005, 0.1, 20000) * settled**2 * 4)).mean()
    assert acceptance == pytest.approx(0.95, abs=0.03)
    averaging.update(-100.0)
    assert averaging.value == settled  # tuning is over


def test_a_step_that_always_fails_shrinks_to_its_bound():
    averaging = DualAveraging(0.5, 5.0, 0.95, 0.5 / 8)
    for _ in range(STEP_TUNING):
        averaging.update(-math.inf)
    assert averaging.value == pytest.approx(0.5 / 8, rel=0.5)


def test_length_grows_on_its_own_trials_to_the_cap():
    a = adapter()
    assert a.trajectory_fs(0) == LENGTH_SHARE * 160
    feed(a, [True] * (LENGTH_TRIALS - 1))
    a.adjust()
    assert a.trajectory_fs(0) == LENGTH_SHARE * 160  # too few trials
    for _ in range(5):
        feed(a, [True] * LENGTH_TRIALS)
        a.adjust()
    assert a.trajectory_fs(0) == 160
    fixed = adapter(trajectory_fs=7.0)
    feed(fixed, [True] * 24)
    fixed.adjust()
    assert fixed.trajectory_fs(0) == 7.0


def test_a_length_shrinks_for_a_model_that_promises_alone_and_the_next_one_is_judged_at_half_again():
    """Jumps that stop to grow after 10 fs, and time steps that cost: a shorter length is worth more."""

    def tries(a, outcomes, generation=0):
        for k, accepted in enumerate(outcomes):
            now = plan(a, generation)
            length = now.trajectory_fs * 8 ** ((0.382 * k) % 1 - 1)
            told = replace(info(accepted, length_fs=length), squared_jump_A2=min(length, 10.0) ** 2, md_steps=round(2 * length))
            a.observe(now, [told], {"surrogate": 0.1 * told.md_steps, "engine": 0.1})

    a = adapter()
    feed(a, [])
    tries(a, [True] * (SHORTEN_TRIALS - 1))
    assert a.adjust() == []
    tries(a, [True])
    [row] = a.adjust()
    assert (row["event"], row["before_fs"], row["trajectory_fs"]) == ("length", 80.0, a.length_fs)
    assert a.length_fs < 80.0
    assert [one["trajectory_fs"] for one in row["lengths"]] == [160.0, 80.0, 40.0]
    assert not a.criteria()["met"]["trials"]  # it has none of its own
    again = adapter()
    again.restore(a.dump())
    assert again.criteria() == a.criteria()
    assert a.trajectory_fs(1) == 80.0
    feed(a, [], generation=1)
    tries(a, [True, False] * SHORTEN_TRIALS, generation=1)  # 0.5: it passes its probes, and promises nothing
    a.adjust()
    assert a.length_fs == 80.0


def test_a_model_that_failed_and_has_no_successor_goes_on_with_shorter_trajectories():
    a = adapter()
    for length in (80.0, 40.0, 20.0, 10.0, 10.0):
        assert a.trajectory_fs(0) == length
        feed(a, [False] * STUCK_AFTER)
        assert a.failed
        feed(a, [True] * EXPLORE_MOVES)
    assert a.trajectory_fs(1) == 80.0
    fixed = adapter(trajectory_fs=7.0)
    feed(fixed, [False] * STUCK_AFTER)
    feed(fixed, [True] * EXPLORE_MOVES)
    assert fixed.trajectory_fs(0) == 7.0


def test_holes_that_are_still_found_keep_a_promising_generation_from_its_freeze():
    a = adapter(calm=0, trajectory_fs=40.0)
    feed(a, [True] * PROBE_TRIALS, generation=5)
    assert a.move(5) is Move.EXPLORE  # 20 moves without a hole say little
    while a.calm < CALM_MOVES - 1:
        a.observe(plan(a, 5), [info()])
    assert a.trials.accepted
    a.observe(plan(a, 5), [info(outcome=HOLE)])
    assert (a.failed, a.calm) == (True, 0)
    for _ in range(CALM_MOVES):
        a.observe(plan(a, 5), [info()])
    feed(a, [True] * TRIAL_STEPS, generation=6)
    feed(a, [True] * TRIAL_STEPS, generation=7)
    feed(a, [True] * TRIAL_STEPS, generation=8)
    feed(a, [True] * TRIAL_STEPS, generation=9)
    assert a.converged()


def test_labels_that_are_wanted_are_explored_for_before_any_trial():
    a = adapter(trajectory_fs=40.0)
    a.labels_wanted, a.labels = 500, 499
    for _ in range(2 * CALM_MOVES):
        assert a.move(0) is Move.EXPLORE
        a.observe(plan(a), [info()])
    assert not a.criteria()["met"]["labels"]
    a.labels = 500
    assert a.move(0) is Move.METROPOLIS
    assert a.criteria()["met"]["labels"]


def test_after_a_long_exploration_the_trials_begin_anew():
    a = adapter(calm=0)
    feed(a, [True] * PROBE_TRIALS)
    while a.move(0) is Move.EXPLORE:
        a.observe(plan(a), [info()])
    assert (a.calm, a.trials.accepted) == (CALM_MOVES, [])


def test_a_length_that_may_be_doubled_is_not_frozen():
    a = adapter()
    for generation in range(GENERATIONS_WANTED):
        feed(a, [True, True, True, True, False] * (TRIAL_STEPS // 5), generation=generation)
    assert a.criteria()["met"] == {**a.criteria()["met"], "length": False}
    assert not a.converged()
    a.adjust()
    feed(a, [True, True, True, True, False] * (TRIAL_STEPS // 5), generation=GENERATIONS_WANTED - 1)
    assert a.converged()


def test_first_principles_moves_are_short_until_there_are_weights():
    a = adapter()
    assert a.trajectory_fs(-1) == FIRST_PRINCIPLES_STEPS * 0.5
    assert a.move(-1) is Move.METROPOLIS


def test_every_generation_explores_first_and_one_that_fails_explores_until_its_successor_comes():
    a = adapter()
    assert a.move(0) is Move.EXPLORE
    for _ in range(EXPLORE_FIRST):
        a.observe(plan(a), [info()])
    assert a.move(0) is Move.METROPOLIS
    feed(a, [True, False, False] * 2 + [False, True])
    assert len(a.trials.accepted) == PROBE_TRIALS
    assert a.move(0) is Move.EXPLORE
    feed(a, [True] * 20)
    assert a.move(0) is Move.EXPLORE
    feed(a, [True] * 10, generation=1)
    assert a.move(1) is Move.METROPOLIS
    assert a.generations == [0, 1]


def test_exploration_without_a_successor_ends_in_new_trials():
    a = adapter()
    feed(a, [False] * STUCK_AFTER)
    assert a.failed
    feed(a, [True] * EXPLORE_MOVES)
    assert a.move(0) is Move.METROPOLIS
    assert not a.trials.accepted


def test_promising_trials_are_held_against_newer_weights_until_they_end():
    a = adapter()
    for generation in range(GENERATIONS_WANTED - 1):
        feed(a, [True] * PROBE_TRIALS, generation=generation)
        assert not a.holds()  # the first models wait for nobody
    last = GENERATIONS_WANTED - 1
    a.observe(plan(a, last), [info()])
    assert not a.holds()
    feed(a, [False], generation=last)
    assert a.holds()  # until it is judged
    feed(a, [True] * (PROBE_TRIALS - 1), generation=last)
    assert a.holds()
    feed(a, [False] * 5, generation=last)
    assert not a.holds()


def test_a_first_model_that_is_good_enough_is_frozen_if_no_successor_comes():
    a = adapter(trajectory_fs=40.0)
    feed(a, [True] * (2 * TRIAL_STEPS - 1))
    assert not a.converged()
    feed(a, [True])
    assert a.converged()


def test_a_run_of_rejections_asks_for_a_rescue_and_exploration():
    a = adapter()
    feed(a, [True] * 30 + [False] * (STUCK_AFTER - 1))
    assert not a.wants_rescue()
    feed(a, [False])
    assert a.wants_rescue()
    feed(a, [False], generation=-1)
    assert not a.wants_rescue()
    assert a.move(0) is Move.EXPLORE
    assert len(a.trials.accepted) == 30 + STUCK_AFTER  # the rescue is no trial


def test_freezes_only_what_was_tried():
    a = adapter(trajectory_fs=40.0)
    for generation in range(GENERATIONS_WANTED):
        assert not a.converged()
        feed(a, ([True] * 4 + [False]) * (TRIAL_STEPS // 5), generation)
    assert len(a.trials.accepted) == TRIAL_STEPS
    assert a.converged()
    feed(a, [True], generation=GENERATIONS_WANTED)  # a new generation has no trials of its own
    assert not a.converged()


@pytest.mark.parametrize("outcomes", [[True, True, True, False, False] * 20, [True] * 80 + [False] * STUCK_AFTER + [True] * 16])
def test_low_acceptance_or_a_long_rejection_run_does_not_converge(outcomes):
    a = adapter(trajectory_fs=40.0)
    for generation in range(GENERATIONS_WANTED + 1):
        feed(a, [True] * 3, generation)
    feed(a, outcomes, GENERATIONS_WANTED)
    assert not a.converged()


def test_creutz_far_from_one_does_not_converge():
    a = adapter(trajectory_fs=40.0)
    for generation in range(GENERATIONS_WANTED):
        for _ in range(TRIAL_STEPS):
            a.observe(plan(a, generation), [info(True, log_ratio=-0.7)])
    assert not a.converged()


def test_a_first_principles_sampler_converges_on_its_trials_alone():
    a = adapter(learns=False, trajectory_fs=20.0)
    feed(a, [True] * TRIAL_STEPS, generation=-1)
    assert a.converged()
    assert not a.wants_rescue()


def test_a_longer_length_that_disappoints_fails_no_generation():
    a = adapter()
    a.length_fs = 2 * a.first_fs
    feed(a, [True] * 2)
    feed(a, [False] * PROBE_TRIALS)
    assert (a.length_fs, a.failed) == (a.first_fs, False)
    feed(a, [False] * PROBE_TRIALS)
    assert a.failed


def test_restart_after_a_block_that_stuck_explores_and_shortens():
    a = adapter()
    feed(a, [True] * LENGTH_TRIALS)
    a.adjust()
    before = a.length_fs
    a.restart()
    assert a.move(0) is Move.EXPLORE
    assert a.length_fs == before / 2
    assert a.steps == 0


def test_dump_and_restore():
    a = adapter(tune_step=True)
    feed(a, [True, False, True])
    b = adapter(tune_step=True)
    b.restore(a.dump())
    assert b.dump() == a.dump()
    feed(a, [True] * 12)
    feed(b, [True] * 12)
    assert b.dump() == a.dump()


def test_the_cells_step_is_tuned_by_its_jumps_alone_and_kept_in_the_checkpoint():
    """Work that grows with the square of the step; trials without a jump say nothing."""
    tuned = DualAveraging(0.01, 0.5, CELL_TARGET, 0.001)
    a = adapter(cell=tuned)
    rng = np.random.default_rng(2)
    a.observe(plan(a), [info()])
    assert tuned.trials == 0
    while tuned.trials < STEP_TUNING:
        work = float(rng.normal(-0.5, 1.0) * (a.cell_step() / 0.05))
        a.observe(plan(a), [replace(info(), log_ratio_cell=work)])
    assert 0.02 < a.cell_step() < 0.1
    again = adapter(cell=DualAveraging(0.01, 0.5, CELL_TARGET, 0.001))
    again.restore(a.dump())
    assert again.cell_step() == a.cell_step()
    assert adapter().cell_step() == 0.0


def test_every_rung_of_a_ladder_does_its_own_trials():
    """Four rungs, the hottest accepting less: their mean would do, that rung does not."""
    pattern = [[True] * 4] * 2 + [[True] * 3 + [False]] * 3  # 0.85 in all, 0.4 at the hottest

    def tried(a, steps):
        a.observe(Plan(Phase.ADAPT, 0, -1, "", 0.5, 20.0), [info()] * 4)
        for step in range(steps):
            a.observe(Plan(Phase.ADAPT, 0, -1, "", 0.5, 20.0), [info(taken) for taken in pattern[step % 5]])
        return a.criteria()["met"]

    met = tried(adapter(walkers=4, rungs=4, learns=False, trajectory_fs=20.0), TRIAL_STEPS // 2)
    assert not met["trials"]  # four times as many rows, but each rung has half of them
    met = tried(adapter(walkers=4, rungs=4, learns=False, trajectory_fs=20.0), TRIAL_STEPS)
    assert met["trials"]
    assert not met["acceptance"]
    assert tried(adapter(walkers=4, learns=False, trajectory_fs=20.0), TRIAL_STEPS)["acceptance"]
