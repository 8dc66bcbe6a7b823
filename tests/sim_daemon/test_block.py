"""Whether a production block is to be trusted, and whether it is enough."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.records import Phase
from protocol.sections import Goal
from sim_daemon.block import Block
from sim_daemon.block import watched as chosen
from sim_daemon.samplers.base import Info, Plan

PLAN = Plan(Phase.PRODUCTION, 1, 0, "", 0.5, 80.0)


def info(accepted, log_ratio, **observables):
    return Info(accepted, "", log_ratio, 0.0, 0.0, 10, 5.0, (), 8, 0, observables)


def block(ratios, accepted):
    made = Block(1, len(ratios))
    for ratio, taken in zip(ratios, accepted, strict=True):
        made.observe(PLAN, [info(taken, ratio)], {})
    return made


def healthy(seed=1, n=400, sigma=0.6):
    """Gaussian -beta dH with mean -sigma^2/2, so that <exp> = 1, and honest decisions."""
    rng = np.random.default_rng(seed)
    ratios = rng.normal(-(sigma**2) / 2, sigma, n)
    return ratios, rng.random(n) < np.exp(np.minimum(0, ratios))


def test_a_healthy_block_may_be_quoted():
    assert block(*healthy()).refusal() == ""


def test_a_block_that_sticks_may_not():
    ratios, accepted = healthy()
    ratios[200:260], accepted[200:260] = -15.0, False
    told = block(ratios, accepted)
    assert "rejections in a row" in told.refusal() or "exp(-beta dH)" in told.refusal()
    assert told.summary()["longest_rejection_run"] >= 60


def test_a_shifted_energy_difference_is_seen():
    ratios, accepted = healthy()
    assert "exp(-beta dH)" in block(ratios - 0.5, accepted).refusal()


def watched(series, name="volume_A3"):
    made = Block(1, len(series))
    for values in series:
        made.observe(PLAN, [info(True, 0.0, **{name: value}) for value in values], {}, (name,))
    return made


def correlated(steps, walkers=2, phi=0.8, seed=5):
    """AR(1) of variance 1: tau = (1 + phi) / (1 - phi) / 2 steps."""
    rng, rows = np.random.default_rng(seed), [np.zeros(walkers)]
    for _ in range(steps):
        rows.append(phi * rows[-1] + np.sqrt(1 - phi**2) * rng.normal(size=walkers))
    return np.array(rows[1:])


@pytest.mark.parametrize(("steps", "enough"), [(1000, False), (4000, True)])
def test_a_goal_of_effective_samples_counts_the_correlation(steps, enough):
    """2 walkers of tau = 4.5: 222 and 889 effective samples."""
    lacking = watched(correlated(steps)).shortfall(Goal(effective_samples=400, of=("volume_A3",)))
    assert (lacking == {}) == enough
    assert enough or "of 400 effective samples" in lacking["volume_A3"]


def test_a_goal_of_an_error_wants_samples_behind_it():
    """1/sqrt(889) = 0.034 of the long series; 40 steps promise as little by luck, and do not count."""
    long, short = watched(correlated(4000)), watched(0.1 * correlated(40))
    assert long.shortfall(Goal(error={"volume_A3": 0.05})) == {}
    assert "0.02 wanted" in long.shortfall(Goal(error={"volume_A3": 0.02}))["volume_A3"]
    assert "of 200 effective samples" in short.shortfall(Goal(error={"volume_A3": 0.05}))["volume_A3"]


def test_a_constant_is_enough_and_an_unfinished_series_is_not():
    goal = Goal(error={"volume_A3": 0.05})
    assert watched(np.full((300, 1), 2.0)).shortfall(goal) == {}
    assert watched(np.full((1, 1), 2.0)).shortfall(goal) != {}


def test_a_goal_of_a_mixture_counts_its_weights():
    """Weights of spread 1 that go with the observable leave 1000 samples far fewer, and another mean."""
    rng, made = np.random.default_rng(3), Block(1, 1000)
    for log_weight in rng.normal(size=1000):
        numbers = {"V": log_weight + rng.normal(), "log_weight": log_weight}
        mixed = info(True, 0.0, **numbers)
        made.observe(PLAN, [mixed], {}, chosen(Goal(effective_samples=500, of=("V",)), PLAN, [mixed]))
    assert "of 500 effective samples" in made.shortfall(Goal(effective_samples=500, of=("V",)))["V"]
    restored = Block.restore(made.dump(), None)
    assert restored.shortfall(Goal(effective_samples=500, of=("V",))) != {}


def on_rungs(rungs):
    """Steps of one walker a rung; rungs: (ratios, accepted) of each."""
    made = Block(1, len(rungs[0][0]))
    for step in range(made.length):
        infos = [replace(info(a[step], r[step], V=float(w)), temperature_K=300.0 + w) for w, (r, a) in enumerate(rungs)]
        made.observe(PLAN, infos, {}, ("V",))
    return made


def test_a_rung_that_sticks_is_not_hidden_by_the_others():
    rungs = [healthy(seed) for seed in (1, 2, 3, 4)]
    assert on_rungs(rungs).refusal() == ""
    assert on_rungs([*rungs[:3], (rungs[3][0] - 0.3, rungs[3][1])]).refusal().startswith("rung 4 of 4: <exp(-beta dH)>")
    mixed = block(np.concatenate([rungs[0][0], rungs[1][0]]), np.concatenate([rungs[0][1], rungs[1][1]]))
    assert mixed.refusal() == ""
    assert set(np.ravel(on_rungs(rungs).watched["V"])) == {0.0}  # of the lowest rung, which is quoted
