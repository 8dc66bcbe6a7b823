"""Curves in bounded memory: means, honest errors, ratios, effective states."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from renkei.analysis.block_sums import BlockSums


def series(phi, shape, seed):
    noise = np.random.default_rng(seed).standard_normal(shape) * math.sqrt(1 - phi * phi)
    noise[0] /= math.sqrt(1 - phi * phi)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


@pytest.mark.parametrize("steps", [10, 64, 65, 1000])
def test_the_mean_is_that_of_all_states_in_any_pieces(steps):
    values = series(0.5, (steps, 2, 3), 1) + 4
    sums = BlockSums(2, 3)
    for piece in np.array_split(values, 3):
        sums.add(piece, np.ones_like(piece))
    found = sums.estimate()
    np.testing.assert_allclose(found.value, values.mean(axis=(0, 1)))
    assert np.isfinite(found.stderr).all()


@pytest.mark.parametrize("phi", [0.0, 0.97])
def test_errors_and_effective_states_are_honest(phi):
    """200 runs: scatter against the quoted error; (1 - phi)/(1 + phi) of the states are effective."""
    runs = series(phi, (3000, 200), 2)
    found = []
    for run in runs.T:
        sums = BlockSums(1, 1)
        sums.add(run[:, None, None], np.ones((3000, 1, 1)))
        found.append(sums.estimate())
    quoted = math.sqrt(np.mean([one.stderr[0] ** 2 for one in found]))
    assert 0.75 < runs.mean(axis=0).std() / quoted < 1.15
    assert np.median([one.ess for one in found]) == pytest.approx(3000 * (1 - phi) / (1 + phi), rel=0.35)


def test_a_ratio_of_sums():
    """Weights that vary with the values: sum over sum, with the error of the ratio, and no value where no weight is."""
    rng = np.random.default_rng(3)
    weight = rng.integers(0, 4, (4000, 2, 1)).astype(float) * np.array([1.0, 1.0, 0.0])
    total = weight * (7 + rng.standard_normal(weight.shape))
    sums = BlockSums(2, 3)
    sums.add(total, weight)
    found = sums.estimate()
    np.testing.assert_allclose(found.value[:2], (total.sum(axis=(0, 1)) / np.maximum(weight.sum(axis=(0, 1)), 1))[:2])
    assert np.isnan(found.value[2])
    # Var(w e) / <w>^2 / n with <w^2> = 3.5, <w> = 1.5
    np.testing.assert_allclose(found.stderr[:2], math.sqrt(3.5 / 1.5**2 / 8000), rtol=0.35)
    assert found.ess > 2000


def test_too_few_states_have_no_error():
    sums = BlockSums(1, 2)
    sums.add(np.ones((3, 1, 2)), np.ones((3, 1, 2)))
    found = sums.estimate()
    assert np.isnan(found.stderr).all()
    assert np.isnan(found.ess)
