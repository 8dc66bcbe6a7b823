"""Blocks that different generations drove: their surrogates are evaluated at the states of the other blocks."""

import numpy as np
import pytest

from kernels.potentials.harmonic import Harmonic
from protocol.errors import BadSetting
from protocol.store import Store
from renkei import combine, observe, run_view, trajectory
from renkei.analysis.mbar import mixture_log_weights

WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])
BETA = 1 / (8.617333262e-5 * 300)


@pytest.fixture
def run(make_run):
    """Steps 71 to 199 by generation 0 with alpha 0.5, then 100 by generation 1 with alpha 0.8."""
    root = make_run(blocks=(129, 100), alphas=(0.5, 0.8), thawed=True)
    [simulator] = run_view.read(root).simulators
    return Store(root), simulator


def test_the_joint_weights_are_those_of_every_surrogate_at_every_state(run, monkeypatch):
    store, simulator = run
    asked = []

    generations = {row["digest"]: row["generation"] for row in simulator.events("step")}

    def load(_store, digest, bound):
        asked.append((generations[digest], bound))
        return Harmonic(20.0 + 5.0 * generations[digest], WATER)

    monkeypatch.setattr(combine, "load", load)
    rows, notes = combine.combined(store, simulator)
    assert "1 (generation 0, alpha 0.5, 258 states), 2 (generation 1, alpha 0.8, 200 states)" in notes[0]
    assert asked == [(0, None), (1, None)]
    states = trajectory.read(store, simulator.role)
    residuals = []
    for generation in (0, 1):
        own, expected = rows.generation == generation, np.zeros(len(rows))
        for k in np.flatnonzero(~own):
            ring = states.positions[np.flatnonzero(states.step == rows.step[k])[0], rows.walker[k]]
            surrogate = np.mean(0.5 * (20.0 + 5.0 * generation) * np.sum((ring - WATER) ** 2, axis=(1, 2)))
            expected[k] = rows.observables["potential_energy_eV"][k] - surrogate
        expected[own] = rows.observables["residual_eV"][own]
        residuals.append(expected)
    densities = np.array([BETA * 0.5 * residuals[0], BETA * 0.2 * residuals[1]])
    np.testing.assert_allclose(rows.observables["log_weight"], mixture_log_weights(densities, np.array([258, 200])), atol=1e-6)


def test_what_cannot_be_put_together(run, make_run):
    with pytest.raises(BadSetting, match="leave --all-blocks out"):
        combine.combined(*run)  # the weights of this run are no model
    root = make_run(blocks=(50,), complete=False)
    with pytest.raises(BadSetting, match="no full production block"):
        combine.combined(Store(root), run_view.read(root).simulators[0])


def test_of_a_ladder_the_lowest_rung_alone_is_put_together(make_run):
    root = make_run(walkers=3, ladder_K=(300.0, 330.0, 365.0), blocks=(60, 40))
    [simulator] = run_view.read(root).simulators
    rows, notes = combine.combined(Store(root), simulator)
    assert set(rows.temperature_K) == {300.0}
    assert (len(rows), notes) == (100, ("blocks together: 1 (first principles, 60 states), 2 (first principles, 40 states)",))
    found = observe.observe(Store(root), simulator, ["energy"], observe.Selection(all_blocks=True))
    energy = simulator.ledger.observables["energy_virial_eV"]
    own = (simulator.ledger.phase == "production") & (simulator.ledger.walker == 0)
    assert found.averages["energy_virial_eV"].estimate.mean == pytest.approx(energy[own].mean(), abs=1e-9)
