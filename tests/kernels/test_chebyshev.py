import numpy as np
import pytest
from numpy.polynomial import chebyshev

from kernels.chebyshev import clenshaw, cosine, project, sine
from kernels.jit import entry


@entry
def run_project(x, even, odd, sums):
    project(x, even, odd, sums)


@entry
def run_clenshaw(x, series, now, last):
    clenshaw(x, series, now, last)


@entry
def circle(z, sines, cosines):
    for t in range(z.size):
        sines[t] = sine(z[t])
        cosines[t] = cosine(z[t])


@pytest.mark.parametrize("orders", [1, 2, 4, 5, 7, 8, 31])
def test_projection_sums_chebyshev_polynomials(orders):
    rng = np.random.default_rng(orders)
    x, w, sums = rng.uniform(-1, 1, 37), rng.normal(size=37), np.ones(orders)
    run_project(x, w.copy(), w * x, sums)
    assert np.allclose(sums, 1 + w @ np.cos(np.arange(orders) * np.arccos(x)[:, None]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("orders", [1, 2, 4, 5, 7, 8, 31])
def test_downward_recurrence_gives_value_and_derivative(orders):
    rng = np.random.default_rng(orders)
    x, series = rng.uniform(-1, 1, 37), rng.normal(size=orders)
    now, last = np.empty(37), np.empty(37)
    run_clenshaw(x, series, now, last)
    assert np.allclose(now - x * last, chebyshev.chebval(x, series), rtol=0, atol=1e-12)
    run_clenshaw(x, np.arange(1, orders) * series[1:], now, last)
    assert np.allclose(now, chebyshev.chebval(x, chebyshev.chebder(series)), rtol=0, atol=1e-10)


def test_sine_and_cosine_to_the_last_bits():
    z = np.linspace(-np.pi / 2, np.pi / 2, 1001)
    sines, cosines = np.empty(1001), np.empty(1001)
    circle(z, sines, cosines)
    assert np.abs(sines - np.sin(z)).max() < 5e-16
    assert np.abs(cosines - np.cos(z)).max() < 5e-16
