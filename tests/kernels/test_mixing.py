import math

import numpy as np
import pytest

from kernels.mixing import best_alpha, mix_acceptance, mix_yield, weight_efficiency


@pytest.mark.parametrize(
    ("sigma", "alpha", "acceptance", "efficiency", "best", "plain", "reweighting"),
    [
        (0.5, 0.38, 0.90, 0.91, 0.81, 0.72, 0.78),
        (1, 0.61, 0.66, 0.86, 0.57, 0.48, 0.37),
        (2, 0.73, 0.30, 0.74, 0.23, 0.16, 0.018),
        (3, 0.76, 0.11, 0.60, 0.064, 0.034, 1e-4),
        (4, 0.78, 0.028, 0.45, 0.013, 0.0047, 1e-7),
    ],
)
def test_the_planners_table(sigma, alpha, acceptance, efficiency, best, plain, reweighting):
    found = best_alpha(sigma)
    assert found == pytest.approx(alpha, abs=0.006)
    assert mix_acceptance(found, sigma) == pytest.approx(acceptance, rel=0.03)
    assert weight_efficiency(found, sigma) == pytest.approx(efficiency, abs=0.006)
    assert mix_yield(found, sigma) == pytest.approx(best, rel=0.03)
    assert mix_yield(1.0, sigma) == pytest.approx(plain, rel=0.03)
    assert mix_yield(0.0, sigma) == pytest.approx(reweighting, rel=0.3)


def test_a_chain_with_a_gaussian_residual_does_what_is_planned():
    """Residuals Normal(0, s^2) from independent proposals, tested with alpha: acceptance, Kish's share, mean -alpha s^2."""
    rng, sigma, alpha = np.random.default_rng(1), 1.5, 0.6
    proposals, here = sigma * rng.standard_normal((4000, 200)), sigma * rng.standard_normal(200)
    kept, taken = [], []
    for there in proposals:
        accepted = np.log(rng.random(200)) < -alpha * (there - here)
        here = np.where(accepted, there, here)
        kept.append(here)
        taken.append(accepted)
    residual, weights = np.array(kept[100:]), np.exp(-(1 - alpha) * np.array(kept[100:]))
    assert np.mean(taken[100:]) == pytest.approx(float(mix_acceptance(alpha, sigma)), abs=0.01)
    assert residual.mean() == pytest.approx(-alpha * sigma**2, abs=0.03)
    assert weights.mean() ** 2 / (weights**2).mean() == pytest.approx(float(weight_efficiency(alpha, sigma)), abs=0.03)


def test_a_proposal_that_remembers_can_take_more_of_the_residual():
    assert best_alpha(2.0, rho=0.9) > best_alpha(2.0)
    assert mix_acceptance(1.0, 2.0, 0.75) == pytest.approx(math.erfc(0.5))
