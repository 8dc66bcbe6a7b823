"""Known answers of the statistics kernels: AR(1), independent and antithetic series, Gaussian weights."""

import math

import numpy as np
import pytest
import scipy.special
from scipy.signal import lfilter

from kernels import statistics


def autoregressive(phi, shape, seed):
    """Stationary AR(1) series of unit variance along axis 0."""
    noise = np.random.default_rng(seed).standard_normal(shape) * math.sqrt(1 - phi * phi)
    noise[0] /= math.sqrt(1 - phi * phi)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


@pytest.mark.parametrize(("phi", "want"), [(0.9, 9.5), (0.0, 0.5), (-0.5, 1 / 6), (0.5, 1.5)])
def test_autocorrelation_time_known_answers(phi, want):
    steps = 1 << 18
    series = autoregressive(phi, (steps,), seed=5)
    window = max(10.0, 5 * want)
    relative_error = math.sqrt(2 * (2 * window + 1) / steps)
    assert abs(statistics.autocorrelation_time(series) - want) < 4.5 * relative_error * max(want, 0.5)


def test_walkers_share_one_time():
    series = autoregressive(0.9, (1 << 14, 16), seed=7)
    assert statistics.autocorrelation_time(series) == pytest.approx(9.5, rel=0.1)


def test_walkers_that_disagree_have_few_effective_samples():
    series = np.random.default_rng(3).standard_normal((500, 2)) + np.array([0.0, 8.0])
    assert series.size / (2 * statistics.autocorrelation_time(series)) < 20


def test_autocorrelation_is_that_of_the_direct_sum():
    series = autoregressive(0.6, (257,), seed=11)
    centred = series - series.mean()
    direct = [float(centred[: 257 - lag] @ centred[lag:]) for lag in range(257)]
    np.testing.assert_allclose(statistics.autocorrelation(series), np.array(direct) / direct[0], atol=1e-12)


def test_constant_series():
    result = statistics.estimate(np.full(50, 3.75))
    assert result == statistics.Estimate(3.75, 0.0, 0.5, 50.0, 50)


@pytest.mark.parametrize("phi", [0.0, 0.8, -0.5])
def test_errors_are_honest(phi):
    """The scatter of the means of many independent runs equals the quoted error (both kinds)."""
    runs = autoregressive(phi, (1200, 300), seed=17).T
    quoted = np.array([statistics.estimate(run).stderr for run in runs])
    blocked = np.array([statistics.blocked_error(run) for run in runs])
    scatter = runs.mean(axis=1).std(ddof=1)
    assert 0.85 < scatter / np.sqrt((blocked**2).mean()) < 1.2
    assert 0.75 < scatter / np.sqrt((quoted**2).mean()) < 1.15
    assert np.abs(runs.mean(axis=1) / quoted).max() < 5


def test_blocks_leave_out_the_start():
    np.testing.assert_array_equal(statistics.block_means(np.arange(7.0), 3), [[2.0], [5.0]])
    assert statistics.block_length(1000, 9.5) == 95
    assert statistics.block_length(100, 9.5) == 12
    assert statistics.block_length(3, 9.5) == 1
    assert math.isnan(statistics.blocked_error(np.array([1.0])))


def test_single_sample_has_no_error():
    result = statistics.estimate(np.array([2.0]))
    assert result.mean == 2.0
    assert math.isnan(result.stderr)


def test_mean_exponential_of_gaussian_work_is_one():
    """<exp(-w)> = 1 if <w> = Var(w) / 2; a wrong mean is seen."""
    work = np.random.default_rng(23).standard_normal(20000) * 0.8 + 0.32
    right, wrong = statistics.mean_exponential(-work), statistics.mean_exponential(-work - 0.1)
    assert abs(right.mean - 1) < 4.5 * right.stderr
    assert right.stderr == pytest.approx(math.sqrt((math.exp(0.64) - 1) / 20000), rel=0.2)
    assert abs(wrong.mean - 1) > 10 * wrong.stderr


def test_mean_exponential_leaves_out_what_has_no_energy():
    rng = np.random.default_rng(29)
    work = rng.standard_normal(20000) * 0.8 + 0.32
    holes = np.where(rng.random(20000) < 0.3, np.nan, -work)
    result = statistics.mean_exponential(holes)
    finite = np.exp(holes[np.isfinite(holes)])
    assert result.mean == pytest.approx(finite.mean())
    assert result.stderr == pytest.approx(finite.std() / math.sqrt(finite.size), rel=0.2)
    assert result.samples == finite.size
    assert statistics.mean_exponential(np.full(4, np.nan)).samples == 0


def test_a_stuck_chain_cannot_look_exact():
    result = statistics.mean_exponential(np.full(100, -40.0))
    assert abs(result.mean - 1) > 10 * result.stderr


@pytest.mark.parametrize("phi", [0.0, 0.8])
def test_a_variance_has_an_honest_error_and_no_bias(phi):
    """Var(x) from <x>, <x^2> of short AR(1) runs of variance 1: scatter, error and ESS agree over 300 runs."""
    runs = autoregressive(phi, (1500, 300), seed=1).T
    found = [statistics.estimate_function(np.stack([x, x * x], -1)[:, None], lambda m: m[1] - m[0] ** 2) for x in runs]
    values, errors = np.array([f.mean for f in found]), np.array([f.stderr for f in found])
    assert abs(values.mean() - 1) < 4.5 * values.std() / math.sqrt(300)
    assert 0.8 < values.std() / np.sqrt((errors**2).mean()) < 1.15
    # (x - <x>)^2 of an AR(1) series is one of phi^2
    assert np.median([f.tau for f in found]) == pytest.approx(0.5 * (1 + phi**2) / (1 - phi**2), rel=0.1)


def test_jackknife_of_a_variance_is_the_unbiased_one():
    x = np.random.default_rng(41).standard_normal(30)
    value, error = statistics.jackknife(np.stack([x, x * x], axis=1), lambda m: m[1] - m[0] ** 2)
    assert value == pytest.approx(x.var(ddof=1), rel=1e-12)
    assert error == pytest.approx(math.sqrt(2 / 30), rel=0.5)


def test_r_hat_of_walkers_that_agree_is_one():
    series = np.random.default_rng(43).standard_normal((2000, 4))
    assert statistics.split_r_hat(series) == pytest.approx(1.0, abs=0.005)
    assert statistics.split_r_hat(1e5 + np.sinh(5 * series)) == statistics.split_r_hat(series)  # ranks: tails play no part
    assert statistics.split_r_hat(np.full(50, 3.0)) == 1.0
    assert math.isnan(statistics.split_r_hat(np.arange(3.0)))


def test_r_hat_sees_a_walker_apart_and_a_drift():
    series = np.random.default_rng(47).standard_normal((2000, 4))
    assert statistics.split_r_hat(series + np.array([0.0, 0.0, 0.0, 1.0])) > 1.05
    assert statistics.split_r_hat(series[:, 0] + np.linspace(0, 2, 2000)) > 1.05


def test_r_hat_is_that_of_its_formula_on_normal_scores():
    """Values that are their own normal scores: two halves of equal variance whose means are apart by known numbers."""
    scores = scipy.special.ndtri((np.arange(1, 41) - 0.375) / 40.25)
    halves = [scores[::2], scores[1::2]]
    within = np.mean([half.var(ddof=1) for half in halves])
    between = 20 * np.var([half.mean() for half in halves], ddof=1)
    want = math.sqrt((19 / 20 * within + between / 20) / within)
    assert statistics.split_r_hat(np.concatenate(halves)) == pytest.approx(want, rel=1e-12)


def test_kish():
    assert statistics.kish(np.full((5, 2), 1e4)) == (pytest.approx(10.0), pytest.approx(0.1))
    effective, largest = statistics.kish(np.log([3.0, 1.0]))
    assert (effective, largest) == (pytest.approx(1.6), pytest.approx(0.75))


@pytest.mark.parametrize(("shape", "tolerance"), [(0.2, 0.15), (0.5, 0.15), (0.8, 0.2), (1.2, 0.25)])
def test_pareto_k_of_known_tails(shape, tolerance):
    """Weights U^-k have a tail of shape k; a constant factor plays no part, however large."""
    logs = shape * np.random.default_rng(3).exponential(size=(8, 20_000))
    found = [statistics.pareto_k(one) for one in logs]
    assert np.mean(found) == pytest.approx(shape, abs=tolerance)
    assert statistics.pareto_k(logs[0] + 1e4) == pytest.approx(found[0], abs=1e-6)


def test_pareto_k_of_tails_without_a_power():
    rng = np.random.default_rng(4)
    assert abs(statistics.pareto_k(np.log(rng.exponential(size=20_000)))) < 0.2
    assert statistics.pareto_k(np.log(rng.random(20_000))) < -0.7  # bounded
    assert statistics.pareto_k(np.full(1000, 7.0)) == -math.inf
    assert math.isnan(statistics.pareto_k(np.zeros(10)))
    assert statistics.pareto_k(3.0 * rng.standard_normal(2000)) > 0.7  # what a residual of 3 kT does
    repeated = np.repeat(rng.standard_normal(300), 7)  # rejected states count again
    assert 0 < statistics.pareto_k(repeated) < 0.6


def test_rounding_is_no_drift():
    series = np.full(400, 0.0387781)
    series[::3] = np.nextafter(series[0], 1)
    assert statistics.start_drift(series) == 0.0
