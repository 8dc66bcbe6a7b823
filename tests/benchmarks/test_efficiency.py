"""The benchmark of calls per independent sample: its numbers of runs whose answers are known."""

import json
import math

import numpy as np
import pytest

from benchmarks import efficiency
from benchmarks.efficiency import Mean, Measured
from kernels import statistics
from renkei.observe import Average


def correlated(steps, phi, seed):
    """AR(1) of variance 1: tau = (1 + phi) / (1 - phi) / 2 steps; (steps, 1)."""
    noise = np.random.default_rng(seed).normal(size=steps) * math.sqrt(1 - phi**2)
    series = np.zeros(steps)
    for t in range(1, steps):
        series[t] = phi * series[t - 1] + noise[t]
    return series[:, None]


def average(series):
    return Average("A", statistics.estimate(series), math.nan, series)


def run(ess, calls, before=0, mean=1.0):
    return Measured({"E": Mean(mean, 1 / math.sqrt(ess), ess, 0.1)}, before, calls, 1.0)


def test_effective_samples_of_a_known_series():
    found = efficiency.mean_of(average(correlated(40_000, 0.9, 1)), 5.0)
    assert found.ess == pytest.approx(40_000 / 19, rel=0.2)
    assert abs(found.mean) < 4 * found.stderr


def test_an_oscillating_series_needs_the_wider_window():
    """rho(t) = exp(-t/60) cos(t/3): tau = 0.15; at c = 5 the sum stops within the first swing, at 20 it may not claim more."""
    rng, steps = np.random.default_rng(2), 20_000
    turn, series, at = np.exp(-1 / 60 + 1j / 3), np.zeros(steps), 0j
    for t in range(steps):
        at = turn * at + rng.normal() + 1j * rng.normal()
        series[t] = at.real
    narrow, wide = (efficiency.mean_of(average(series[:, None]), window) for window in (5.0, 20.0))
    assert wide.ess <= 1.01 * narrow.ess


def test_calls_add_up_over_seeds_and_training_counts():
    found = efficiency.pooled([run(100, 1000, 500), run(300, 3000, 700)], "E")
    assert (found.ess, found.per_sample, found.before) == (400, 10, 600)
    assert found.calls(400) == 600 + 4000
    assert found.relative_error == pytest.approx(math.hypot(10, 30) / 400)


def test_ratios_against_closed_forms():
    control, ours = efficiency.pooled([run(100, 10_000)], "E"), efficiency.pooled([run(100, 100, 2000, mean=1.5)], "E")
    told = efficiency.ratios(control, ours)
    assert told["ratio_400"] == pytest.approx(40_000 / 2400)
    assert told["ratio_2000"] == pytest.approx(200_000 / 4000)
    assert told["low_2000"] < told["ratio_2000"] < told["high_2000"]
    assert told["z"] == pytest.approx(0.5 / math.sqrt(0.02))
    # training has no statistical error: the interval is narrower where it dominates
    assert told["high_400"] / told["ratio_400"] < told["high_2000"] / told["ratio_2000"]


def test_the_table_names_the_better_control(capsys):
    runs = {"pimd": [run(100, 5000)], "pihmc": [run(100, 9000)], "sl_pihmc": [run(100, 100)]}
    figures = efficiency.compare("zundel", efficiency.Case("zundel", {"E": "energy_virial_eV"}), runs)
    assert figures["sl_pihmc/E"]["control"] == "pimd"
    assert "pimd / sl_pihmc" in capsys.readouterr().out


def test_all_means_are_compared_with_each_other(capsys):
    runs = {"pimd": [run(100, 5000)], "sl_pihmc": [run(100, 100)], "two_level": [run(100, 100, mean=2.0)]}
    efficiency.compare("zundel", efficiency.Case("zundel", {"E": "energy_virial_eV"}), runs)
    assert "sl_pihmc and two_level: z +7.1  DISAGREE" in capsys.readouterr().out


def test_what_a_run_has_told_is_kept_to_the_last_bit(tmp_path):
    told = run(100 / 3, 1000, 500)
    efficiency.remember(tmp_path / "kept" / "a.json", told)
    assert efficiency.recall(tmp_path / "kept" / "a.json") == told


def test_runs_that_are_gone_are_compared_from_what_is_kept(tmp_path, capsys, monkeypatch):
    cheap = {label: Mean(1.0, 0.1, 100.0, 0.1) for label in efficiency.ZUNDEL}
    for name, calls in (("pimd", 32_000), ("two_level", 3200)):
        efficiency.remember(tmp_path / f"zundel-{name}-1.json", Measured(cheap, 1000, calls, 1.0))
    words = ("efficiency", "--system", "zundel", "--no-run", "--into", str(tmp_path / "none"), "--kept", str(tmp_path))
    monkeypatch.setattr("sys.argv", [*words])
    efficiency.main()
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["ratio"]["zundel"]
    assert told["two_level/E"]["ratio_2000"] == pytest.approx((1000 + 640_000) / (1000 + 64_000))
