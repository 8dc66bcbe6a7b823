"""Classical oscillators k x^2 / 2 (beta = 1) as ensembles, the target k = 1: exact answers."""

import math

import numpy as np
import pytest

from renkei.analysis import mbar
from renkei.analysis.mbar import free_energies, mixture_log_weights


def drawn(stiffness, counts, seed):
    """Samples (n,) of oscillators, and ln of every ensemble's density relative to the target at all of them (K, n)."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.standard_normal(n) / math.sqrt(k) for k, n in zip(stiffness, counts, strict=True)])
    return x, np.array([-0.5 * (k - 1) * x**2 for k in stiffness])


def mean_square(x, logs):
    weights = np.exp(logs - logs.max())
    return float((weights * x**2).sum() / weights.sum())


def test_one_ensemble_has_the_plain_weights():
    _, densities = drawn([0.8], [500], 1)
    found = mixture_log_weights(densities, np.array([500]))
    plain = -densities[0]
    np.testing.assert_allclose(found - found[0], plain - plain[0], atol=1e-12)


def test_several_oscillators_give_the_exact_answer_with_the_scatter_of_their_samples():
    stiffness, counts = [0.6, 0.9, 1.6], np.array([400, 700, 300])
    squares, energies = [], []
    for seed in range(60):
        x, densities = drawn(stiffness, counts, seed)
        energies.append(free_energies(densities, counts))
        squares.append(mean_square(x, mixture_log_weights(densities, counts)))
    exact = 0.5 * np.log(np.array(stiffness) / stiffness[0])  # f = -ln Z, Z ~ 1/sqrt(k)
    scatter = np.std(energies, axis=0)[1:] / math.sqrt(60)
    assert np.all(np.abs(np.mean(energies, axis=0) - exact)[1:] < 4.5 * scatter)
    assert abs(np.mean(squares) - 1) < 4.5 * np.std(squares) / math.sqrt(60)
    assert np.std(squares) < 1.2 * math.sqrt(2 / counts.sum())  # as good as samples of the target


def test_a_constant_of_a_sample_plays_no_part_and_nothing_overflows():
    counts = np.array([50, 80])
    _, densities = drawn([0.7, 1.3], counts, 3)
    found = free_energies(densities, counts)
    np.testing.assert_allclose(free_energies(densities + 1e4, counts), found, atol=1e-6)


def test_ensembles_that_hardly_meet_are_an_error(monkeypatch):
    monkeypatch.setattr(mbar, "MOST_ITERATIONS", 50)
    with pytest.raises(ValueError, match="do not overlap"):
        free_energies(np.array([[0.0, -18.0], [-18.0, 5.0]]), np.ones(2))
