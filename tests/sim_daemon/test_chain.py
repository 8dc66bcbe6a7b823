import numpy as np

from protocol import checkpoint
from protocol.records import Phase
from sim_daemon.block import Block
from sim_daemon.chain import Chain, restore
from sim_daemon.samplers.base import Plan, State


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
    block = Block(1, 8, 2, [[-0.5], [0.1]], [[False], [True]], {"energy_virial_eV": [[1.0], [1.5]]})
    chain = Chain(state, 17, Phase.PRODUCTION, plan, block, 0, False)
    again = restore(checkpoint.load(checkpoint.dump(chain.dump())))
    for name in ("positions", "energies", "forces", "cells", "stresses"):
        np.testing.assert_array_equal(getattr(again.state, name), getattr(state, name))
    np.testing.assert_array_equal(again.state.refuges[0], state.refuges[0])
    np.testing.assert_array_equal(again.state.refuge_cells[0], state.refuge_cells[0])
    assert (again.step, again.phase, again.frozen, again.block) == (17, Phase.PRODUCTION, plan, chain.block)
