"""Acceptance, averages and costs of ledgers with known statistics."""

import math

import numpy as np
import pytest
from scipy.special import erfc

from renkei.analysis import thermo
from renkei.analysis.ledger import steps_of


def ledger_of(log_ratios, accepted=None, **columns):
    accepted = [True] * len(log_ratios) if accepted is None else accepted
    rows = []
    for k, value in enumerate(log_ratios):
        row = {"event": "step", "step": k + 1, "walker": 0, "phase": "production", "block": 1, "generation": 0}
        row |= {"accepted": accepted[k], "log_ratio": value, "log_ratio_integrator": 0.0, "log_ratio_model": value}
        rows.append(row | {name: column[k] for name, column in columns.items()})
    return steps_of(rows)


def test_acceptance_apart():
    found = thermo.acceptance(ledger_of([math.log(0.5), 1.0, None], [True, True, False]))
    assert found.total == pytest.approx(2 / 3)
    assert found.integrator == 1.0
    assert found.model == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    assert math.isnan(thermo.acceptance(ledger_of([])).total)


def test_gaussian_errors_predict_the_acceptance():
    work = np.random.default_rng(1).standard_normal(40000) * 0.8 + 0.32
    found = thermo.energy_errors(ledger_of((-work).tolist()))
    assert found.mean == pytest.approx(0.32, abs=0.02)
    assert found.variance == pytest.approx(0.64, abs=0.03)
    assert found.predicted_acceptance == pytest.approx(erfc(0.5 * math.sqrt(0.32)), abs=0.01)
    assert thermo.energy_errors(ledger_of([None, None])).without_energy == 2


def test_creutz_of_a_sound_block_is_one():
    work = np.random.default_rng(2).standard_normal(5000) * 0.7 + 0.245
    found = thermo.exp_minus_beta_dH(ledger_of((-work).tolist()))
    assert abs(found.mean - 1) < 4.5 * found.stderr


def test_the_difference_has_its_own_error():
    """Two estimators that share a large fluctuation: the error of their difference is the small one."""
    rng = np.random.default_rng(3)
    common, own = rng.standard_normal(400), 0.01 * rng.standard_normal(400)
    observables = [{"energy_primitive_eV": a + b, "energy_virial_eV": a} for a, b in zip(common, own, strict=True)]
    found = thermo.averages(ledger_of([0.0] * 400, observables=observables))
    assert found["energy_virial_eV"].stderr > 0.03
    assert found["energy_difference_eV"].stderr == pytest.approx(0.01 / 20, rel=0.4)
    assert found["energy_difference_eV"].mean == pytest.approx(own.mean())


def test_an_observable_with_holes_has_no_average():
    observables = [{"energy_virial_eV": 1.0}, {}, {"energy_virial_eV": 2.0}]
    assert thermo.averages(ledger_of([0.0] * 3, observables=observables)) == {}


def test_rejections_in_a_row():
    assert thermo.rejections(ledger_of([0.0] * 5, [True, False, False, True, False]))[0] == 2
    assert thermo.rejections(ledger_of([])) == (0, 20)


def test_all_calls_count():
    rows = [
        {"event": "startup", "engine_calls": 50, "engine_failures": 2},
        {"event": "step", "engine_calls": 8, "engine_failures": 1},
        {"event": "step", "engine_calls": 8},
        {"event": "batch", "labels": 100},
    ]
    assert thermo.engine_calls(rows) == thermo.Calls(66, 3)


def test_engine_failures():
    outcomes = ["accepted", "rejected", "rejected: engine_failure", "accepted"]
    table = ledger_of([0.0] * 4, [True, False, False, True], outcome=outcomes)
    assert thermo.engine_failure_share(table) == 0.25
    assert thermo.engine_failure_share(ledger_of([])) == 0.0
    moved = ledger_of([0.0] * 2, [True, False], outcome=["rejected: engine_failure"] * 2)  # of ten trials one was refused
    assert thermo.engine_failure_share(moved) == 0.5


def test_running_acceptance():
    steps, share = thermo.running_acceptance(ledger_of([0.0] * 6, [False, False, True, True, True, False]), window=3)
    assert steps.tolist() == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(share, [0, 0, 1 / 3, 2 / 3, 1, 2 / 3])


def test_averages_of_another_ensemble_are_reweighted():
    """Normal(0, 1) sampled, Normal(1, 1) wanted: log weight x - 1/2; totals of 1e6 lose no digits."""
    x = np.random.default_rng(4).standard_normal(20000)
    observables = [{"energy_virial_eV": 1e6 + v, "log_weight": 700.0 + v - 0.5} for v in x]
    found = thermo.averages(ledger_of([0.0] * 20000, observables=observables))
    assert set(found) == {"energy_virial_eV"}
    assert abs(found["energy_virial_eV"].mean - 1e6 - 1) < 4.5 * found["energy_virial_eV"].stderr < 0.1
    # Var[w (x - 1)] = e (1 + 1) for Gaussian weights of unit spread
    assert found["energy_virial_eV"].stderr == pytest.approx(math.sqrt(2 * math.e / 20000), rel=0.15)


@pytest.mark.parametrize(("shift", "agrees"), [(0.0, True), (0.1, False)])
def test_mean_and_variance_of_gaussian_work_belong_together(shift, agrees):
    work = np.random.default_rng(5).standard_normal(40000) * 0.8 + 0.32 + shift
    log_ratios = [None if k % 10 == 0 else float(-w) for k, w in enumerate(work)]
    found = thermo.variance_identity(ledger_of(log_ratios))
    z = abs(found.mean) / found.stderr
    assert z < 4.5 if agrees else z > 10
    assert math.isnan(thermo.variance_identity(ledger_of([None, None])).mean)
