import math

import numpy as np
import pytest

from kernels import statistics
from kernels.reweighting import reweighted, weight_health


def test_health_of_equal_and_of_gaussian_weights():
    equal = weight_health(np.full((50, 4), 1e4))
    assert (equal.samples, equal.largest) == (200, pytest.approx(1 / 200))
    assert (equal.kish, equal.perplexity) == (pytest.approx(200), pytest.approx(200))
    assert equal.refusal == ""
    logs = np.random.default_rng(1).standard_normal(100_000)
    found = weight_health(logs)
    assert found.kish / found.samples == pytest.approx(math.exp(-1), rel=0.05)
    assert found.perplexity / found.samples == pytest.approx(math.exp(-0.5), rel=0.02)  # exp(-s^2/2) for s = 1
    for one, two in zip(found, weight_health(1e4 + logs), strict=True):
        assert one == pytest.approx(two, rel=1e-6)


@pytest.mark.parametrize(
    ("spread", "count", "said"), [(0.5, 40, "n_eff of the weights is"), (2.6, 20_000, "the weights' tail has k-hat")]
)
def test_weights_that_cannot_carry_a_mean(spread, count, said):
    health = weight_health(spread * np.random.default_rng(5).standard_normal(count))
    assert said in health.refusal
    assert "n_eff" in health.told


def test_a_weighted_mean_with_an_honest_error():
    """AR(1) sampled, its mean shifted by weights: scatter of many runs against the quoted error; no overflow at 1e4."""
    rng, found = np.random.default_rng(2), []
    for _ in range(60):
        x = np.zeros((400, 2))
        for t in range(1, 400):
            x[t] = 0.7 * x[t - 1] + math.sqrt(1 - 0.49) * rng.standard_normal(2)
        found.append(reweighted(1e5 + x, 1e4 + 0.5 * x))
    z = np.array([(one.mean - 1e5 - 0.5) / one.stderr for one in found])
    assert abs(z.mean()) < 0.6
    assert 0.6 < z.std() < 1.5
    tau = statistics.autocorrelation_time(x)
    assert 0.3 < np.mean([one.ess for one in found]) / (800 / (2 * 2.83)) < 1.0  # less than without weights
    assert tau > 1


def test_equal_weights_are_none():
    x = np.random.default_rng(6).standard_normal((300, 2))
    plain, weighed = statistics.estimate(x), reweighted(x, np.full((300, 2), -1e4))
    assert weighed.mean == pytest.approx(plain.mean, abs=1e-12)
    assert weighed.stderr == pytest.approx(plain.stderr, rel=0.1)
