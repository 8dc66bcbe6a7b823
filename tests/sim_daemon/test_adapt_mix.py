"""The controller of mixtures: alpha from what trials tell, frozen with what was tried."""

import json

import numpy as np
import pytest

from kernels.mixing import best_alpha, mix_acceptance
from protocol.records import Phase
from sim_daemon import adapt_mix, schedule
from sim_daemon.adapt import CALM_MOVES, EXPLORE_FIRST, TRIAL_STEPS
from sim_daemon.adapt_mix import FIRST_ALPHA, LEAST_ALPHA, PLAN_TRIALS, MixAdapter
from sim_daemon.samplers.base import Info, Move, Plan

BETA = 40.0


def adapter(fixed=None, sees=True):
    made = MixAdapter(BETA, fixed, sees, 0.5, 1.5, False, 80.0, 80.0, 1, True)
    made.calm = CALM_MOVES
    return made


class Chain:
    """Residuals of a Gaussian surrogate, sampled by the mixture that the adapter's plan names."""

    def __init__(self, made, sigma, rho=0.0):
        self.made, self.sigma, self.rho, self.rng, self.here = made, sigma, rho, np.random.default_rng(1), 0.0

    def plan(self, **changes):
        told = {"generation": 0, "move": Move.METROPOLIS} | changes
        knobs = self.made.knobs(told["generation"], told["move"])
        return Plan(Phase.ADAPT, 0, told["generation"], "d", 0.5, 80.0, told["move"], **knobs)

    def explore(self):
        for _ in range(EXPLORE_FIRST):
            self.made.observe(self.plan(move=Move.EXPLORE), [Info(True, "", 0.0, 0.0, 0.0, 1, 1.0, (), 8, 0, {})])

    def trials(self, count, every=10):
        for k in range(count):
            plan = self.plan()
            there = self.rho * self.here + np.sqrt(1 - self.rho**2) * self.sigma * self.rng.standard_normal()
            work = -plan.alpha * (there - self.here)
            accepted = bool(np.log(self.rng.random()) < work)
            self.here = there if accepted else self.here
            seen = {"residual_eV": self.here / BETA, "log_weight": -(1 - plan.alpha) * self.here}
            self.made.observe(plan, [Info(accepted, "", work, 0.0, work, 1, 80.0, (), 8, 0, seen)])
            if k % every == every - 1:
                self.made.adjust()


@pytest.mark.parametrize(("sigma", "rho"), [(0.8, 0.0), (2.0, 0.0), (2.0, 0.8)])
def test_alpha_is_planned_from_the_spread_and_frozen_after_trials_of_its_own(sigma, rho):
    made = adapter()
    chain = Chain(made, sigma, rho)
    chain.explore()
    assert chain.plan().alpha == FIRST_ALPHA
    assert chain.plan(move=Move.EXPLORE).alpha == chain.plan(generation=-1).alpha == 1.0
    chain.trials(1500)
    told = made.criteria()
    # a chain with rho keeps the mixture's drift: of x -> rho x + ..., alpha of it is not quite the formula's
    assert told["sigma"] == pytest.approx(sigma, rel=0.25)
    assert told["rho"] == pytest.approx(rho, abs=0.25)
    assert made.alpha == pytest.approx(best_alpha(sigma, rho), abs=0.17)
    assert told["met"]["alpha"]
    assert told["met"]["yield"]
    assert told["acceptance"] == pytest.approx(float(mix_acceptance(made.alpha, sigma, rho)), abs=0.12)
    assert told["trials"] >= TRIAL_STEPS


def test_a_poor_surrogate_is_not_frozen():
    made = adapter()
    chain = Chain(made, 4.0)
    chain.explore()
    chain.trials(260)
    assert not made.converged()
    assert not made.criteria()["met"]["yield"]


def test_a_change_of_alpha_begins_new_trials():
    made = adapter()
    chain = Chain(made, 0.3)
    made.alpha = 0.95
    chain.explore()
    chain.trials(PLAN_TRIALS - 1)
    made.adjust()
    assert made.alpha == 0.95
    chain.sigma = 3.0
    chain.trials(300)
    assert LEAST_ALPHA <= made.alpha < 0.95
    assert len(made.trials.accepted) < 300
    assert len(made.residuals) == len(made.trials.accepted)


def test_what_is_given_stays_and_is_never_below_the_least_where_it_is_planned(monkeypatch):
    made = adapter(fixed=0.1)
    chain = Chain(made, 1.0)
    chain.explore()
    chain.trials(150)
    assert made.alpha == 0.1
    assert made.criteria()["met"]["alpha"]
    monkeypatch.setattr(adapt_mix, "best_alpha", lambda *_: 0.0)
    assert MixAdapter._planned((0.1, 0.0)) == LEAST_ALPHA


def test_a_chain_that_screens_proposals_takes_them_for_independent():
    made = adapter(sees=False)
    chain = Chain(made, 1.0, 0.9)
    chain.explore()
    chain.trials(100)
    assert made.residual().rho == 0.0


def test_a_recorded_alpha_is_followed_and_the_state_survives_a_checkpoint():
    made = adapter()
    chain = Chain(made, 1.0)
    chain.explore()
    chain.trials(45, every=100)
    again = adapter()
    again.restore(json.loads(json.dumps(made.dump())))
    assert again.criteria() == made.criteria()
    imposed = chain.plan()
    imposed = schedule.plan_of(json.loads(json.dumps(schedule.entry(9, imposed) | {"alpha": 0.4})))
    assert imposed.alpha == 0.4
    again.observe(imposed, [Info(True, "", 0.0, 0.0, 0.0, 1, 80.0, (), 8, 0, {"residual_eV": 0.1})])
    assert again.alpha == 0.4
    assert len(again.trials.accepted) == 1


def test_a_ledger_from_before_mixtures_is_read():
    row = schedule.entry(1, Plan(Phase.PRODUCTION, 1, 0, "d", 0.5, 8.0))
    del row["alpha"]
    assert schedule.plan_of(row).alpha == 1.0
