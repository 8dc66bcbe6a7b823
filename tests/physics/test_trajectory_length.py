"""The adapt phase's choice of the length on real steps of harmonic rings, where its worth is known or measured."""

import math

import numpy as np
import pytest
from scipy.special import sici

from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2
from protocol.records import Phase
from sim_daemon import adapt_length
from sim_daemon.adapt import CALM_MOVES, GENERATIONS_WANTED, LENGTH_GAIN, TRIAL_ACCEPTANCE, Adapter
from sim_daemon.samplers import sl_pihmc
from sim_daemon.samplers.base import Info, Move, Plan

MASS_AMU, TEMPERATURE_K, LONGEST_FS, WALKERS = 12.0, 300.0, 160.0, 4
GRID = [LONGEST_FS / 2**k for k in range(5)]
ENGINE_S = 1.0  # of a walker's step, told to the adapter: no clock


@pytest.fixture
def world(formula_target, formula_surrogate):
    """Sampler, surrogate and first state of independent oscillators; the surrogate has `soft` times the right stiffness."""

    def make(atoms, beads, period_fs, soft):
        stiffness = MASS_AMU * AMU_EV_FS2_PER_A2 * (2 * math.pi / period_fs) ** 2

        def well(k):
            return lambda x: (0.5 * k * np.sum(x**2, axis=(1, 2)), -k * x)

        masses = [MASS_AMU] * atoms
        ring = ring_polymer(np.array(masses), TEMPERATURE_K, beads, 1200)
        settings = sl_pihmc.Settings.model_validate({"ensemble": {"temperature_K": TEMPERATURE_K}, "beads": beads})
        sampler = sl_pihmc.build(settings, ring, formula_target(well(stiffness), masses))
        first = np.random.default_rng(1).normal(0, (ring.beta * stiffness) ** -0.5, (WALKERS, 1, atoms, 3))
        return sampler, formula_surrogate(well(soft * stiffness)), sampler.init(first.repeat(beads, axis=1))

    return make


def adapted(world, timestep_fs, time_step_s, steps, seed=1):
    """An adapter after real trials; exploring moves, which ask nothing here, are invented."""
    sampler, surrogate, state = world
    made = Adapter(timestep_fs, timestep_fs, False, None, LONGEST_FS, WALKERS, True)
    made.calm, made.generations = CALM_MOVES, list(range(GENERATIONS_WANTED - 1))
    own = GENERATIONS_WANTED - 1
    for number in range(1, steps + 1):
        plan = Plan(Phase.ADAPT, 0, own, "d", timestep_fs, made.trajectory_fs(own), made.move(own))
        if plan.move is Move.EXPLORE:
            made.observe(plan, [Info(True, "explored", 0.0, 0.0, 0.0, 1, 1.0, (), 2, 0, {})] * WALKERS)
            continue
        state, infos = sampler.step(state, surrogate, plan, step_rng(seed, "test", number))
        driven = sum(info.md_steps for info in infos)
        made.observe(plan, infos, {"engine": ENGINE_S * WALKERS, "surrogate": time_step_s * driven})
        if number % 15 == 0:
            made.adjust()
        if made.converged():
            break
    return made


@pytest.mark.parametrize(("period_fs", "time_step_s"), [(40.0, 1e-3), (800.0, 1e-3), (40.0, 0.1)])
def test_the_chosen_length_of_a_harmonic_ring_is_as_good_as_the_best(world, period_fs, time_step_s):
    """The centroid of a ring in a harmonic well is a classical oscillator: <jump^2> = 2 <x^2> (1 - cos wt), for any beads."""
    made = adapted(world(1, 3, period_fs, 1.0), 2.0, time_step_s, 200)
    assert made.converged()
    w = 2 * math.pi / period_fs

    def worth(length):
        cosine = (sici(w * length)[1] - sici(w * length / 8)[1]) / math.log(8)
        return (1 - cosine) / (ENGINE_S + time_step_s * length * 7 / 8 / math.log(8) / 2.0)

    answers = {length: worth(length) for length in GRID}
    assert LENGTH_GAIN * 1.1 * answers[made.length_fs] > max(answers.values())  # what is left is not worth new trials
    wrong = {40.0: LONGEST_FS, 800.0: 80.0}[period_fs]  # where one of them is far from the best, it has been left
    assert made.length_fs != wrong


def test_a_wrong_surrogate_gets_the_longest_length_that_it_can_have(world, monkeypatch):
    """60 % of the stiffness in 30 degrees of freedom: long trajectories are rejected, the first length fails its trials.

    No successor comes, so it is tried anew with shorter ones. If acceptance played no part it would be tried with the longest.
    """
    made = adapted(world(10, 1, 200.0, 0.6), 4.0, 1e-3, 700)
    assert made.converged()
    assert made.length_fs in (20.0, 40.0)
    assert made.trials.acceptance >= TRIAL_ACCEPTANCE
    told = made.criteria()["lengths"]
    assert next(one for one in told if one["trajectory_fs"] == 80.0)["acceptance"] < TRIAL_ACCEPTANCE
    assert next(one for one in told if one["trajectory_fs"] == made.length_fs)["known"]
    monkeypatch.setattr(adapt_length.math, "exp", lambda _: 1.0)
    assert not adapted(world(10, 1, 200.0, 0.6), 4.0, 1e-3, 320).converged()
