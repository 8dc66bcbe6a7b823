"""What a sound chain may show."""

import numpy as np
import pytest
import scipy.special

from kernels import sound_chain, statistics


def independence_chain(acceptance, steps, walkers, rng):
    """-beta dH and decisions of chains with a Gaussian residual, in equilibrium from the start."""
    s = 2 * scipy.special.erfcinv(acceptance)
    here, ratios, taken = rng.normal(-s * s, s, walkers), np.empty((steps, walkers)), np.empty((steps, walkers), bool)
    for step in range(steps):
        there = rng.normal(0, s, walkers)
        ratios[step] = here - there
        taken[step] = np.log(rng.random(walkers)) < ratios[step]
        here = np.where(taken[step], there, here)
    return ratios, taken


def test_longest_run():
    assert sound_chain.longest_run(np.array([0, 1, 1, 0, 1, 1, 1], dtype=bool)) == 3
    assert sound_chain.longest_run(np.zeros(4, dtype=bool)) == 0
    assert sound_chain.longest_run(np.array([[1, 0], [0, 1], [1, 1]], dtype=bool)) == 2
    assert sound_chain.longest_run(np.zeros((0,), dtype=bool)) == 0


@pytest.mark.parametrize("acceptance", [0.9, 0.7, 0.5])
def test_rejection_runs_of_a_gaussian_surrogate_stay_below_the_bound_and_come_near_it(acceptance):
    """Independence chains with a Gaussian residual: 3000 of 500 steps; at most 0.3 may exceed a bound of 1e-4."""
    steps = 500
    _, taken = independence_chain(acceptance, steps, 3000, np.random.default_rng(2))
    longest = np.array([sound_chain.longest_run(~chain) for chain in taken.T])
    assert taken.mean() == pytest.approx(acceptance, abs=0.01)
    bound = sound_chain.longest_rejection_run(acceptance, steps, 0)
    assert (longest > bound).sum() <= 3
    assert longest.max() > bound / 3


def test_bounds_at_the_ends():
    assert sound_chain.longest_rejection_run(0.0, 10, 10) == sound_chain.longest_rejection_run(1.0, 10, 0) == 20
    assert sound_chain.longest_rejection_run(0.001, 10**6, 0) == sound_chain.longest_rejection_run(0.05, 10**6, 0)


def test_the_run_itself_does_not_raise_its_bound():
    """400 steps at 0.8, then 200 rejections: the share of all is 0.53."""
    assert sound_chain.longest_rejection_run(0.8 * 400 / 600, 600, 200) == sound_chain.longest_rejection_run(0.8, 600, 0)


def test_dynamics_is_told_from_a_test_by_what_it_accepts_without_a_ratio():
    nothing, taken = np.full((3, 2), np.nan), np.array([[True, True], [True, False], [True, True]])
    assert sound_chain.untested(nothing, taken)
    assert not sound_chain.untested(nothing, ~np.ones((3, 2), bool))  # every proposal trapped
    assert not sound_chain.untested(np.where(taken, -0.1, np.nan), taken)
    assert not sound_chain.untested(np.where(taken, np.inf, -0.1), taken)  # tested, from a place that has no energy


def beyond_own_error(ratios):
    found = statistics.mean_exponential(ratios)
    return abs(found.mean - 1) > 3 * found.stderr


def test_a_poor_but_sound_surrogate_raises_no_false_alarm():
    """100 chains of acceptance 0.25: with 0.27 % of false alarms, two would come once in 30 such tests."""
    rng = np.random.default_rng(3)
    chains = [independence_chain(0.25, 400, 1, rng) for _ in range(100)]
    assert sum(beyond_own_error(ratios) for ratios, _ in chains) >= 5
    assert sum(not sound_chain.creutz_holds(*chain, 3.0) for chain in chains) <= 1


@pytest.mark.parametrize(("acceptance", "shift"), [(0.9, 0.1), (0.7, 0.25), (0.35, 0.8)])
def test_a_wrong_ratio_is_seen(acceptance, shift):
    rng = np.random.default_rng(4)
    for sign in (-1, 1):
        ratios, taken = independence_chain(acceptance, 1000, 2, rng)
        assert sound_chain.creutz_holds(ratios, taken, 3.0)
        assert not sound_chain.creutz_holds(ratios + sign * shift, taken, 3.0), sign


def test_a_chain_that_sticks_now_and_then_is_seen():
    """Ten times 12 rejections that no bound of a run forbids: a fifth of the block."""
    ratios, taken = independence_chain(0.7, 600, 1, np.random.default_rng(5))
    assert sound_chain.creutz_holds(ratios, taken, 3.0)
    for start in range(20, 600, 60):
        ratios[start : start + 12], taken[start : start + 12] = -15.0, False
    longest, bound = sound_chain.rejections(taken)
    assert longest <= bound
    assert not sound_chain.creutz_holds(ratios, taken, 3.0)


def test_a_chain_that_hardly_moves_is_not_excused():
    """One of 40 proposals is accepted: sound chains of this acceptance may show a mean of 0.03 in 400 steps."""
    taken = np.arange(400) % 40 == 0
    assert not sound_chain.creutz_holds(np.where(taken, 0.0, -8.0), taken, 3.0)


def test_exact_and_absent_energies():
    taken = np.ones((50, 2), bool)
    assert sound_chain.creutz_holds(np.zeros((50, 2)), taken, 3.0)
    assert not sound_chain.creutz_holds(np.full((50, 2), -0.1), taken, 3.0)  # no error, and not 1
    assert not sound_chain.creutz_holds(np.full((50, 2), np.nan), ~taken, 3.0)
    assert sound_chain.rejections(np.zeros((0, 0))) == (0, 20)
