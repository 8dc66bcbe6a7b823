from dataclasses import replace

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol.records import Phase, Structure
from sim_daemon.ensembles import Npt
from sim_daemon.moves.cell import barostat_of, volume
from sim_daemon.moves.explore import HOLE, HOLE_KT, LABELLED_BEADS, REFUGES, explore_step
from sim_daemon.moves.ring_move import ring_step
from sim_daemon.samplers.base import Move, Plan, start_state
from sim_daemon.system import System
from sim_daemon.target import TargetValues

STIFFNESS, BEADS, WALKERS = 30.0, 6, 3
PLAN = Plan(Phase.ADAPT, 0, 0, "d", 1.0, 10.0, Move.EXPLORE)


class Surrogate:
    species, cutoff, generation = (), 0.0, 0

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(0.5 * STIFFNESS * np.sum(positions**2, axis=(1, 2)), -STIFFNESS * positions)


class Target:
    """The same well, and a cliff of 2 eV for x > edge."""

    def __init__(self, edge=np.inf):
        structure = Structure(np.zeros((1, 3)), np.ones(1, int), np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(structure.numbers, np.array([1.008]), structure, 0, 1, None, False)
        self.edge, self.calls = edge, 0

    def __call__(self, positions, cells=None):
        self.calls += len(positions)
        value = Surrogate().evaluate(positions, None, None, None)
        energies = value.energy + 2.0 * (positions[:, 0, 0] > self.edge)
        nothing = (None,) * len(positions)
        return TargetValues(
            positions, energies, value.forces, nothing, nothing, np.ones(len(positions), int), np.zeros(len(positions), int)
        )


@pytest.fixture
def ring():
    return ring_polymer(np.array([1.008]), 300.0, BEADS, 3000)


def walk(ring, target, steps):
    first = np.random.default_rng(1).normal(0, 0.02, (WALKERS, BEADS, 1, 3))
    state = start_state(target, first)
    paid = target.calls
    told = []
    for step in range(1, steps + 1):
        state, infos = explore_step(ring, target, state, Surrogate(), PLAN, step_rng(1, "t", step))
        told.append(infos)
    return state, told, target.calls - paid


def test_two_beads_a_ring_are_paid_for_and_named(ring):
    state, told, paid = walk(ring, Target(), 5)
    assert paid == 5 * WALKERS * LABELLED_BEADS
    info = told[0][0]
    assert info.engine_calls == LABELLED_BEADS
    assert len(info.points[0].beads) == len(info.points[0].positions) == LABELLED_BEADS
    assert info.observables["residual_kT"] == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(state.energies).all()


def test_a_right_surrogate_walks_without_holes_and_keeps_refuges(ring):
    state, told, _ = walk(ring, Target(), 30)
    assert not any("hole" in i.outcome for infos in told for i in infos)
    assert [len(r) for r in state.refuges] == [REFUGES] * WALKERS
    assert np.mean([i.accepted for infos in told for i in infos]) > 0.8


def test_a_hole_is_labelled_and_left_for_an_earlier_ring(ring):
    target = Target(edge=0.05)
    state, told, _ = walk(ring, target, 30)
    holes = [i for infos in told for i in infos if "hole" in i.outcome]
    assert holes
    for info in holes:
        assert np.abs(info.observables["residual_kT"]) * LABELLED_BEADS > HOLE_KT
        assert info.points[0].positions[:, 0, 0].max() > 0.05  # its label is kept
    for refuges in state.refuges:
        assert len(refuges)


def test_the_next_metropolis_step_labels_the_whole_ring_first(ring):
    target = Target()
    state, _, _ = walk(ring, target, 3)
    before = target.calls
    plan = Plan(Phase.ADAPT, 0, 0, "d", 1.0, 10.0, Move.METROPOLIS)
    new, infos = ring_step(ring, target, state, Surrogate(), plan, step_rng(1, "t", 9))
    assert target.calls - before == 2 * WALKERS * BEADS
    assert sum(i.engine_calls for i in infos) == 2 * WALKERS * BEADS
    assert np.isfinite(new.energies).all()


def test_a_walker_returns_from_a_hole_with_the_cell_of_its_refuge(ring):
    """At constant pressure: cells walk, every label knows its own, and a refuge keeps the one it was good in."""
    structure = Structure(np.zeros((1, 3)), np.ones(1, int), 4.0 * np.eye(3), np.ones(3, bool))
    target = Target(edge=0.05)
    target.system = System(structure.numbers, np.array([1.008]), structure, 0, 1, None, False)
    barostat = barostat_of(Npt(name="npt", temperature_K=300, pressure_GPa=1.0), structure)
    state = start_state(target, np.random.default_rng(1).normal(0, 0.02, (WALKERS, BEADS, 1, 3)))
    plan, holes = replace(PLAN, cell_step=0.1), 0
    for step in range(1, 31):
        before = state
        state, infos = explore_step(ring, target, state, Surrogate(), plan, step_rng(1, "t", step), barostat)
        for w, info in enumerate(infos):
            known = [np.array_equal(state.positions[w], ring_) for ring_ in before.refuges[w]]
            if info.outcome == HOLE:
                holes += 1
                np.testing.assert_array_equal(state.cells[w], before.refuge_cells[w][known.index(True)])
            else:
                np.testing.assert_array_equal(info.points[0].cell, state.cells[w])
                np.testing.assert_array_equal(state.refuge_cells[w][-1], state.cells[w])
    assert holes > 3
    assert len({volume(cell) for cell in state.refuge_cells[0]}) > 1
    assert np.isnan(state.stresses).all()
