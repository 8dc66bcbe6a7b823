"""Every figure of a full run, and none where there is no table."""

import numpy as np
import pytest

from renkei import figures, results, run_view
from renkei.analysis.ledger import in_phase, steps_of
from renkei.trajectory import Trajectory


def drawn(root):
    view = run_view.read(root)
    [simulator] = view.simulators
    number, block, _ = results.quoted_block(simulator)
    states = results.quoted_states(results.read_trajectories(view)["sim0"], number)
    return {figure.name: figure for figure in figures.draw(view, simulator, block, states)}


def test_a_full_run_has_every_figure(sound_run):
    found = drawn(sound_run)
    assert set(found) == {"acceptance", "energies", "dH", "gyration", "pairs", "bonds", "balance"}
    assert all(figure.png[:4] == b"\x89PNG" and figure.title and figure.caption for figure in found.values())
    assert found["acceptance"].wide


@pytest.mark.parametrize(
    ("choices", "want"),
    [
        ({"blocks": ()}, {"acceptance", "balance"}),
        ({"adapt": 0, "blocks": (), "trainer": False}, {"balance"}),
        ({"blocks": (1,), "complete": False}, {"acceptance", "balance", "energies", "gyration", "pairs", "bonds"}),
    ],
)
def test_no_table_no_figure(make_run, choices, want):
    assert set(drawn(make_run(**choices))) == want


def test_a_crystal_gets_g_of_r():
    positions = np.random.default_rng(0).random((3, 1, 2, 2, 3)) * 3.0
    marks = np.ones(3, dtype=int)
    cells = np.broadcast_to(3.0 * np.eye(3), (*positions.shape[:2], 3, 3))
    states = Trajectory(marks, marks, marks, positions, np.array([14, 8]), cells, np.ones(3, dtype=bool))
    assert "all images counted" in figures.pairs(states).caption


def test_one_atom_has_no_pairs():
    marks = np.ones(2, dtype=int)
    states = Trajectory(
        marks, marks, marks, np.zeros((2, 1, 4, 1, 3)), np.array([1]), np.zeros((2, 1, 3, 3)), np.zeros(3, dtype=bool)
    )
    assert figures.pairs(states) is None
    assert figures.bonds(states) is None


def test_a_chain_whose_proposals_all_lack_an_energy():
    rows = [
        {"event": "step", "step": s, "walker": 0, "phase": "production", "block": 1, "generation": 0, "accepted": False}
        for s in range(30)
    ]
    assert figures.distribution_of_dH(in_phase(steps_of(rows), "production")) is None
