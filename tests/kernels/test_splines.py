"""Cubic B-splines: partition of unity, local support, two continuous derivatives, and tables that go through given values."""

import numpy as np
import pytest

from kernels import splines

POINTS = np.sort(np.random.default_rng(4).uniform(-1, 1, 300))


@pytest.mark.parametrize("terms", [4, 5, 11])
def test_partition_of_unity_and_local_support(terms):
    values, slopes = splines.evaluate(np.eye(terms), np.concatenate([[-1.0], POINTS, [1.0]]))
    assert np.allclose(values.sum(axis=1), 1, atol=1e-14)
    assert np.allclose(slopes.sum(axis=1), 0, atol=1e-12)
    assert values.min() >= 0
    assert ((values > 0).sum(axis=1) <= 4).all()
    centres = -1 + 2 * (np.arange(terms) - 1) / (terms - 3)
    far = np.abs(np.concatenate([[-1.0], POINTS, [1.0]])[:, None] - centres) >= 4 / (terms - 3)
    assert not values[far].any()
    assert (values[~far] > 0).mean() > 0.99


def test_the_slope_is_the_derivative():
    table, h = np.random.default_rng(1).normal(size=(9, 3)), 1e-4
    inside = POINTS[np.abs(POINTS) < 0.99]
    at = [splines.evaluate(table, inside + step * h)[0] for step in (-2, -1, 1, 2)]
    slope = (at[0] - 8 * at[1] + 8 * at[2] - at[3]) / (12 * h)
    assert np.allclose(splines.evaluate(table, inside)[1], slope, atol=1e-6)


def test_two_derivatives_are_continuous_at_knots_and_the_third_is_not():
    table = np.random.default_rng(2).normal(size=(8, 1))
    knots, h = splines.grid(5)[1:-1], 1e-3

    def from_one_side(side):
        """Value and three derivatives at the knots, exactly, from four points of the cubic on one side."""
        places = side * h * np.arange(1, 5)
        values = np.array([splines.evaluate(table, knots + place)[0][:, 0] for place in places])
        return np.linalg.solve(np.vander(places, 4, increasing=True), values) * np.array([1, 1, 2, 6])[:, None]

    left, right = from_one_side(-1), from_one_side(1)
    assert np.allclose(left[:2], right[:2], atol=1e-7)
    assert np.allclose(left[2], right[2], rtol=1e-4, atol=1e-3)
    assert np.abs(left[3] - right[3]).min() > 1


def test_a_table_goes_through_its_values_with_the_slopes_at_its_ends():
    values = np.random.default_rng(3).normal(size=(7, 2))
    table = splines.coefficients(values, np.array([1.0, -2.0]), np.array([0.5, 3.0]))
    found, slopes = splines.evaluate(table, splines.grid(6))
    assert np.allclose(found, values, atol=1e-13)
    assert np.allclose(slopes[[0, -1]], [[1.0, -2.0], [0.5, 3.0]], atol=1e-12)


@pytest.mark.parametrize("intervals", [1, 2, 5])
def test_a_cubic_is_its_own_spline(intervals):
    cubic = np.polynomial.Polynomial([0.3, -1.0, 0.7, 2.0])
    slope = cubic.deriv()
    table = splines.coefficients(cubic(splines.grid(intervals))[:, None], slope(np.array([-1.0])), slope(np.array([1.0])))
    values, slopes = splines.evaluate(table, POINTS)
    assert np.allclose(values[:, 0], cubic(POINTS), atol=1e-13)
    assert np.allclose(slopes[:, 0], slope(POINTS), atol=1e-12)


def test_the_error_falls_with_the_fourth_power_of_the_interval():
    errors = []
    for intervals in (20, 40):
        at = splines.grid(intervals)
        table = splines.coefficients(np.cos(4 * at)[:, None], -4 * np.sin([-4.0]), -4 * np.sin([4.0]))
        errors.append(np.abs(splines.evaluate(table, POINTS)[0][:, 0] - np.cos(4 * POINTS)).max())
    assert 12 < errors[0] / errors[1] < 20
