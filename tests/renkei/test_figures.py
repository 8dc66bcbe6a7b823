"""Every figure of a full run, and none where there is no table."""

import numpy as np
import pytest
from ase.build import bulk

from renkei import figures, results, run_view
from renkei.analysis.ledger import in_phase, steps_of
from renkei.trajectory import Trajectory


def drawn(root):
    view = run_view.read(root)
    [simulator] = view.simulators
    block = results.quoted_block(simulator)[1]
    states = results.quoted_states(results.read_trajectories(view)["sim0"], block)
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


def test_pairs_and_bonds_of_a_crystal_that_breathes_are_those_of_each_cell(monkeypatch):
    """Silicon at constant pressure: bonds through the faces have the length that every state's own cell gives them."""
    silicon, breath = bulk("Si"), np.linspace(0.95, 1.1, 6)[:, None, None, None, None]
    positions = np.repeat(breath * silicon.positions, 2, axis=1)  # (6, 2, 1, 2, 3): two walkers
    cells = np.broadcast_to(breath[:, :, 0] * silicon.cell[:], (6, 2, 3, 3))
    marks = np.arange(1, 7)
    states = Trajectory(marks, marks, marks, positions, silicon.numbers, cells, np.ones(3, dtype=bool))
    drawn_lengths = []
    monkeypatch.setattr(figures, "_histograms", lambda axis, series, label, unit: drawn_lengths.append(series))
    figures.bonds(states)
    want = np.sort(np.repeat(np.linspace(0.95, 1.1, 6) * 5.43 * np.sqrt(3) / 4, 2 * 4))
    np.testing.assert_allclose(np.sort(drawn_lengths[0]["Si-Si"].ravel()), want)
    np.testing.assert_allclose(drawn_lengths[1]["Si-Si-Si"], 109.4712206)
    series = results._bond_series(states, results.reference_bonds(states))["bond_length_Si-Si_A"]
    np.testing.assert_allclose(series, np.repeat(want[::8, None], 2, axis=1))
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
