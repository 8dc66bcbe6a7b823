"""Every sampler, in every variant: a restart from a checkpoint gives the same bits, and no array is changed."""

import dataclasses

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from protocol import checkpoint
from protocol.records import Phase, Structure
from protocol.settings import plugin_names
from sim_daemon.assemble import make_ring
from sim_daemon.chain import Chain, restore
from sim_daemon.samplers import base
from sim_daemon.samplers.base import Move, Plan
from sim_daemon.system import System
from sim_daemon.target import TargetValues

BEADS, WALKERS, STEPS = 4, 2, 8
VARIANTS = [
    ("pihmc", {"refreshment": {"friction_per_fs": 0.1}}),
    ("sl_pihmc", {"refreshment": {"angle_rad": 0.5}}),
    ("sl_pihmc", {"proposal": "segment"}),
    ("sl_pihmc", {"proposal": "segment", "refreshment": {"angle_rad": 0.5}, "delayed_acceptance": "cheap_engine"}),
    ("sl_pihmc", {"proposal": "multiple_time_step", "kick_every": 2}),
    ("sl_pihmc", {"delayed_acceptance": "surrogate"}),
    ("sl_pihmc", {"delayed_acceptance": "cheap_engine"}),
    ("pihmc", {"walkers": WALKERS, "ladder": {"temperatures_K": [300, 330], "swap_every": 2}}),
    ("sl_pihmc", {"walkers": WALKERS, "ladder": {"highest_K": 330, "rings": "scaled"}}),
    ("sl_pihmc_mix", {"proposal": "segment", "refreshment": {"angle_rad": 0.5}}),
    ("sl_pihmc_mix", {"delayed_acceptance": "surrogate", "contraction": 3}),
    ("sl_pihmc_mix", {"contraction": 3, "contraction_exact": False}),
]
KEYS = {"metropolis": {"moves": {"bridge": {}}}}  # beyond what all of them have
WIDTHS = {"translation": 0.1, "bridge": 2.0}


class Well:
    """sum k x^2 / 2 + x^4, as a target and as a surrogate."""

    species, cutoff, generation, cheap = (), 0.0, 0, None

    def __init__(self, stiffness):
        structure = Structure(np.zeros((2, 3)), np.ones(2, int), np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(structure.numbers, np.array([1.008, 12.0]), structure, 0, 1, None, False)
        self.stiffness = stiffness

    def evaluate(self, x, numbers, cell, pbc):
        energy = np.sum(0.5 * self.stiffness * x**2 + x**4, axis=(1, 2))
        return Evaluation(energy, -self.stiffness * x - 4 * x**3)

    def __call__(self, x, cells=None):
        value, nothing, ones = self.evaluate(x, None, None, None), (None,) * len(x), np.ones(len(x), int)
        return TargetValues(x, value.energy, value.forces, nothing, nothing, ones, 0 * ones)


def build(name, changes):
    target = Well(30.0)
    target.cheap = Well(27.0)
    module = base.load(name)
    settings = module.Settings.model_validate(
        {"name": name, "ensemble": {"temperature_K": 300}, "beads": BEADS, **KEYS.get(name, {}), **changes}
    )
    return module.build(settings, make_ring(settings, target.system), target)


def plan_of(step):
    """With a surrogate; one exploring step in adapt, then production."""
    if step == 2:
        return Plan(Phase.ADAPT, 0, 0, "d", 0.5, 8.0, Move.EXPLORE, 6, WIDTHS)
    return Plan(Phase.PRODUCTION, 1, 0, "d", 1.0, 8.0, Move.METROPOLIS, 6, WIDTHS, alpha=0.6)


def walk(sampler, chain, until):
    """The chain after step `until`, and all that was told; the arrays of each state are frozen before the next step."""
    told = []
    while chain.step < until:
        for field in dataclasses.fields(chain.state):
            value = getattr(chain.state, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, np.ndarray):
                    part.flags.writeable = False
        chain.step += 1
        chain.state, infos = sampler.step(chain.state, Well(36.0), plan_of(chain.step), step_rng(5, "t", chain.step))
        told += infos
    return told


@pytest.mark.parametrize(("name", "changes"), [*((n, {}) for n in plugin_names(base.load)), *VARIANTS], ids=str)
def test_a_restart_in_the_middle_gives_the_same_bits(name, changes):
    first = np.random.default_rng(1).normal(0, 0.05, (WALKERS, BEADS, 2, 3))
    whole = Chain(build(name, changes).init(first))
    told = walk(build(name, changes), whole, STEPS)
    halted = Chain(build(name, changes).init(first))
    again = walk(build(name, changes), halted, STEPS // 2)
    resumed = restore(checkpoint.load(checkpoint.dump(halted.dump())))
    again += walk(build(name, changes), resumed, STEPS)
    for field in dataclasses.fields(whole.state):
        one, two = getattr(whole.state, field.name), getattr(resumed.state, field.name)
        assert (one is None) == (two is None), field.name
        if one is not None and not isinstance(one, tuple):
            np.testing.assert_array_equal(one, two, field.name)
    assert len(told) == len(again) == WALKERS * STEPS
    for one, two in zip(told, again, strict=True):
        np.testing.assert_equal(dataclasses.asdict(one), dataclasses.asdict(two))
    assert not np.array_equal(whole.state.positions, first)
    assert (whole.state.replicas is not None) == ("ladder" in changes)
    kept = "refreshment" in changes or name == "pimd"
    assert (whole.state.momenta is not None) == kept
