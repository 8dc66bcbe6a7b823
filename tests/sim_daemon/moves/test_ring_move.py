"""What a step says of an engine that refuses; its laws are in tests/physics."""

import numpy as np
import pytest

from kernels.potentials.base import Evaluation
from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from protocol.records import Label, Phase, Structure
from sim_daemon import labels
from sim_daemon.labelling import Labelled
from sim_daemon.moves.ring_move import ring_step
from sim_daemon.samplers.base import Move, Plan, start_state
from sim_daemon.system import System
from sim_daemon.target import Target

STRUCTURE = Structure(np.zeros((1, 3)), np.ones(1, int), np.zeros((3, 3)), np.zeros(3, bool))
SYSTEM = System(STRUCTURE.numbers, np.array([1.008]), STRUCTURE, 0, 1, None, False)
PLAN = Plan(Phase.ADAPT, 0, -1, "", 0.5, 5.0, Move.METROPOLIS)


class Well:
    """30 eV/A^2; the surrogate of itself."""

    species, cutoff, generation = (), 0.0, 0

    def evaluate(self, positions, numbers, cell, pbc):
        return Evaluation(15.0 * np.sum(positions**2, axis=(1, 2)), -30.0 * positions)


def labeller(broken):
    """An engine that has labels until it breaks."""

    def answer(structure):
        if broken:
            return Labelled(None, "engine_failure: SCF", 2, 2)
        value = Well().evaluate(structure.positions[None], None, None, None)
        return Labelled(Label(structure, float(value.energy[0]), value.forces[0], None, 0, 1, "toy"), None, 1, 0)

    return lambda structures: [answer(structure) for structure in structures]


@pytest.mark.parametrize("surrogate", [None, Well()])
def test_a_refused_proposal_is_told_whoever_drove_it(surrogate):
    broken = []
    ring, target = ring_polymer(np.array([1.008]), 300.0, 4, 3000), Target(SYSTEM, labeller(broken))
    state = start_state(target, np.random.default_rng(1).normal(0, 0.02, (2, 4, 1, 3)))
    broken.append(True)
    new, infos = ring_step(ring, target, state, surrogate, PLAN, step_rng(1, "t", 1))
    assert [info.outcome for info in infos] == ["rejected: engine_failure"] * 2
    np.testing.assert_array_equal(new.positions, state.positions)
    refused = list(labels.refusals(infos))
    assert len(refused) == 8
    assert {reason for _, _, reason in refused} == {"engine_failure: SCF"}
    assert list(labels.of_step("sim0", 1, PLAN, infos, 0)) == []
