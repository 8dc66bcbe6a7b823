import numpy as np

from protocol import checkpoint
from protocol.records import Phase
from sim_daemon.chain import Block, Chain, restore
from sim_daemon.samplers.base import Info, Plan, State


def info(accepted, log_ratio):
    return Info(accepted, "", log_ratio, 0.0, 0.0, 10, 5.0, (), 8, 0, {})


def block(ratios, accepted):
    made = Block(1, len(ratios))
    for ratio, taken in zip(ratios, accepted, strict=True):
        made.observe([info(taken, ratio)])
    return made


def healthy(seed=1, n=400, sigma=0.6):
    """Gaussian -beta dH with mean -sigma^2/2, so that <exp> = 1, and honest decisions."""
    rng = np.random.default_rng(seed)
    ratios = rng.normal(-(sigma**2) / 2, sigma, n)
    return ratios, rng.random(n) < np.exp(np.minimum(0, ratios))


def test_a_healthy_block_may_be_quoted():
    assert block(*healthy()).sticky() == ""


def test_a_block_that_sticks_may_not():
    ratios, accepted = healthy()
    ratios[200:260], accepted[200:260] = -15.0, False
    told = block(ratios, accepted)
    assert "rejections in a row" in told.sticky() or "exp(-beta dH)" in told.sticky()
    assert told.summary()["longest_rejection_run"] >= 60


def test_a_shifted_energy_difference_is_seen():
    ratios, accepted = healthy()
    assert "exp(-beta dH)" in block(ratios - 0.5, accepted).sticky()


def test_dump_and_restore():
    rng = np.random.default_rng(3)
    state = State(
        rng.normal(size=(1, 2, 3, 3)),
        rng.normal(size=(1, 2)),
        rng.normal(size=(1, 2, 3, 3)),
        rng.normal(size=(1, 3, 3)),
        (rng.normal(size=(4, 2, 3, 3)),),
        (rng.normal(size=(4, 3, 3)),),
        rng.normal(size=(1, 2, 3, 3)),
    )
    plan = Plan(Phase.PRODUCTION, 1, 4, "abc", 0.5, 80.0)
    chain = Chain(state, 17, Phase.PRODUCTION, plan, block(*healthy(n=5)), 0, False)
    again = restore(checkpoint.load(checkpoint.dump(chain.dump())))
    for name in ("positions", "energies", "forces", "cells", "stresses"):
        np.testing.assert_array_equal(getattr(again.state, name), getattr(state, name))
    np.testing.assert_array_equal(again.state.refuges[0], state.refuges[0])
    np.testing.assert_array_equal(again.state.refuge_cells[0], state.refuge_cells[0])
    assert (again.step, again.phase, again.frozen, again.block) == (17, Phase.PRODUCTION, plan, chain.block)
