"""The surrogate's own chain as steps: its ensemble, its weights, the chain that waits aside, stretches that join."""

import dataclasses
import math

import numpy as np
import pytest

from kernels import two_level
from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase, Structure
from sim_daemon.moves.ghmc import Segment
from sim_daemon.moves.walk import resume_chain, walk_step
from sim_daemon.samplers.base import Move, Plan, start_state
from sim_daemon.system import System
from sim_daemon.target import TargetValues

MASS_AMU, BEADS, WALKERS = 1.00794, 4, 24
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * (3000 * WAVENUMBER_RAD_PER_FS) ** 2  # eV/A^2
ENERGY_EV, GYRATION_A = 3 * 0.0903804249, math.sqrt(3 * 0.00193434542)  # docs/methods.md: P = 4
PLAN = Plan(Phase.PRODUCTION, 1, 0, "d", 1.0, 20.0, Move.LEVEL_1, 2)


class Well:
    """A harmonic target that counts its calls, and a surrogate of another stiffness."""

    species, cutoff, generation = (), 0.0, 0

    def __init__(self, factor):
        structure = Structure(np.zeros((1, 3)), np.ones(1, int), np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(structure.numbers, np.array([MASS_AMU]), structure, 0, 1, None, False)
        self.stiffness, self.calls = factor * STIFFNESS, 0

    def evaluate(self, x, numbers, cell, pbc):
        return Evaluation(0.5 * self.stiffness * np.sum(x**2, axis=(1, 2)), -self.stiffness * x)

    def __call__(self, x, cells=None):
        self.calls += len(x)
        value, nothing, ones = self.evaluate(x, None, None, None), (None,) * len(x), np.ones(len(x), int)
        return TargetValues(x, value.energy, value.forces, nothing, nothing, ones, 0 * ones)


@pytest.fixture
def parts():
    target = Well(1.0)
    ring = ring_polymer(target.system.masses_amu, 300.0, BEADS, 3000)
    first = np.random.default_rng(1).normal(0, 0.05, (WALKERS, BEADS, 1, 3))
    state = start_state(target, first)
    target.calls = 0
    return ring, target, state


def test_means_of_the_target_from_walks_on_a_wrong_surrogate(parts):
    """Energy at finite P within its error, though the surrogate is a quarter too soft; labels at every fifth step alone."""
    ring, target, state = parts
    surrogate, kept = Well(0.75), []
    for step in range(1, 81):
        plan = dataclasses.replace(PLAN, move=Move.LEVEL_2 if step % 5 == 0 else Move.LEVEL_1)
        state, infos = walk_step(
            ring, target, state, surrogate, plan, step_rng(3, "t", step), Segment(centroid_friction_per_fs=0.2)
        )
        if step > 20:
            kept.append([info.observables for info in infos])
    assert target.calls == 16 * WALKERS * BEADS

    def column(name):
        return np.array([[row.get(name, np.nan) for row in rows] for rows in kept])

    found = two_level.combine(column("surrogate_energy_virial_eV"), column("energy_virial_eV"), column("log_weight"))
    assert abs(found.whole.mean - ENERGY_EV) < 4.5 * found.whole.stderr
    assert found.whole.stderr < 0.03 * ENERGY_EV
    softer = 3 * np.sum(0.75 * STIFFNESS / ring.beta / (BEADS * ring.springs[:, 0] + 0.75 * STIFFNESS))
    assert abs(found.surrogate.mean - softer) < 4.5 * found.surrogate.stderr
    assert ENERGY_EV - softer > 3 * found.surrogate.stderr


def test_weights_are_those_of_both_energies(parts):
    ring, target, state = parts
    plan = dataclasses.replace(PLAN, move=Move.PROBE)
    after, infos = walk_step(ring, target, state, Well(0.92), plan, step_rng(3, "t", 1), Segment())
    squares = (after.positions**2).sum(axis=(2, 3)).mean(axis=1)
    np.testing.assert_allclose(
        [info.observables["log_weight"] for info in infos], -ring.beta * 0.5 * 0.08 * STIFFNESS * squares, rtol=1e-9
    )
    assert {len(info.points) for info in infos} == {1}
    assert {info.engine_calls for info in infos} == {BEADS}


def test_two_stretches_are_one_to_the_bit(parts):
    """Random numbers are of a step, so the second stretch has the first's generators to go on with."""
    ring, target, state = parts
    generators = {w: step_rng(3, "t", 1)("segment", w) for w in range(WALKERS)}

    def rng(purpose, walker):
        return generators[walker] if purpose == "segment" else step_rng(3, "t", 1)(purpose, walker)

    once, _ = walk_step(ring, target, state, Well(0.9), dataclasses.replace(PLAN, chain_moves=6), step_rng(3, "t", 1), Segment())
    half = dataclasses.replace(PLAN, chain_moves=3)
    middle, _ = walk_step(ring, target, state, Well(0.9), half, rng, Segment())
    twice, _ = walk_step(ring, target, middle, Well(0.9), half, rng, Segment())
    np.testing.assert_array_equal(once.positions, twice.positions)
    np.testing.assert_array_equal(once.momenta, twice.momenta)


def test_the_chain_waits_and_goes_on_where_it_stood(parts):
    ring, target, state = parts
    state = dataclasses.replace(state, refuges=tuple(ring_[None] + 0.01 for ring_ in state.positions))
    walked, infos = walk_step(ring, target, state, Well(0.9), PLAN, step_rng(3, "t", 1), Segment())
    np.testing.assert_array_equal(walked.aside, state.positions)
    assert not np.array_equal(walked.positions, state.positions)
    assert target.calls == 0
    assert {info.engine_calls for info in infos} == {0}
    back = resume_chain(walked)
    np.testing.assert_array_equal(back.positions, state.positions)
    assert back.momenta is None
    assert back.aside is None
    assert np.isnan(back.energies).all()
    assert resume_chain(state) is state
