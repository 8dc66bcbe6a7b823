"""Cubic B-splines on a uniform grid over -1..1: K functions on K - 3 equal intervals, each function four intervals wide.

A point sees four of them, whose sum is 1. Any sum of them has two continuous derivatives, and its slope is that of the same sum.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_banded

from kernels.arrays import Array
from kernels.jit import entry, kernel

FEWEST = 4  # functions: one interval


@kernel
def place(x: float, terms: int) -> tuple[int, float]:
    """The first of the four functions that a point sees, and where in its interval the point is, 0..1."""
    at = 0.5 * (x + 1) * (terms - 3)
    first = min(max(int(at), 0), terms - 4)
    return first, at - first


@kernel
def weights(t: float) -> tuple[float, float, float, float]:
    """Values of the four functions."""
    s = 1 - t
    return s * s * s * (1 / 6), 2 / 3 - t * t * (1 - 0.5 * t), 2 / 3 - s * s * (1 - 0.5 * s), t * t * t * (1 / 6)


@kernel
def slopes(t: float, terms: int) -> tuple[float, float, float, float]:
    """Their derivatives by x."""
    s, rate = 1 - t, 0.5 * (terms - 3)
    return -0.5 * rate * s * s, rate * t * (1.5 * t - 2), rate * s * (2 - 1.5 * s), 0.5 * rate * t * t


@kernel
def pool(table: Array, x: Array, factor: Array, shares: Array, sums: Array) -> None:
    """sums[q] += sum_n factor_n * function q at x_n.

    table: (K, H) coefficients.  x, factor: (points,).  shares: (K,) scratch.  sums: (H,).
    """
    if not many(table, x):
        for n in range(x.size):
            first, t = place(x[n], table.shape[0])
            a, b, c, d = weights(t)
            a, b, c, d = factor[n] * a, factor[n] * b, factor[n] * c, factor[n] * d
            r0, r1, r2, r3 = table[first], table[first + 1], table[first + 2], table[first + 3]
            for q in range(sums.size):
                sums[q] += (a * r0[q] + b * r1[q]) + (c * r2[q] + d * r3[q])
        return
    shares[: table.shape[0]] = 0.0
    for n in range(x.size):
        first, t = place(x[n], table.shape[0])
        a, b, c, d = weights(t)
        shares[first] += factor[n] * a
        shares[first + 1] += factor[n] * b
        shares[first + 2] += factor[n] * c
        shares[first + 3] += factor[n] * d
    for k in range(table.shape[0]):
        share, row = shares[k], table[k]
        for q in range(sums.size):
            sums[q] += share * row[q]


@kernel
def project(x: Array, value: Array, slope: Array, sums: Array) -> None:
    """sums[k] += sum_n value_n B_k(x_n) + slope_n B_k'(x_n).  x, value, slope: (points,).  sums: (K,)."""
    for n in range(x.size):
        first, t = place(x[n], sums.size)
        a, b, c, d = weights(t)
        e, f, g, h = slopes(t, sums.size)
        sums[first] += value[n] * a + slope[n] * e
        sums[first + 1] += value[n] * b + slope[n] * f
        sums[first + 2] += value[n] * c + slope[n] * g
        sums[first + 3] += value[n] * d + slope[n] * h


@kernel
def many(table: Array, x: Array) -> bool:
    """Whether it is less work to go through the whole table once than to look up all functions for each point."""
    return bool(4 * x.size > table.shape[0])


@kernel
def contract(rows: Array, gradient: Array, result: Array) -> None:
    """result[k] = sum_q rows[k, q] gradient[q].  rows: (k, H).  gradient: (H,).  result: (k,)."""
    for k in range(rows.shape[0]):
        row, total = rows[k], 0.0
        for q in range(gradient.size):
            total += row[q] * gradient[q]
        result[k] = total


@kernel
def look_up(series: Array, x: Array, values: Array, rates: Array) -> None:
    """Values and slopes of one function at all points.  series: (K,) its coefficients.  x, values, rates: (points,)."""
    for n in range(x.size):
        first, t = place(x[n], series.size)
        a, b, c, d = series[first], series[first + 1], series[first + 2], series[first + 3]
        e, f, g, h = weights(t)
        values[n] = (a * e + b * f) + (c * g + d * h)
        e, f, g, h = slopes(t, series.size)
        rates[n] = (a * e + b * f) + (c * g + d * h)


@kernel
def look_up_each(table: Array, x: Array, gradient: Array, values: Array, rates: Array) -> None:
    """The same of the sum of all functions with the factors `gradient` (H,).  table: (K, H) coefficients."""
    for n in range(x.size):
        first, t = place(x[n], table.shape[0])
        r0, r1, r2, r3 = table[first], table[first + 1], table[first + 2], table[first + 3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for q in range(gradient.size):
            factor = gradient[q]
            s0 += factor * r0[q]
            s1 += factor * r1[q]
            s2 += factor * r2[q]
            s3 += factor * r3[q]
        a, b, c, d = weights(t)
        values[n] = (a * s0 + b * s1) + (c * s2 + d * s3)
        a, b, c, d = slopes(t, table.shape[0])
        rates[n] = (a * s0 + b * s1) + (c * s2 + d * s3)


@entry
def evaluate(table: Array, points: Array) -> tuple[Array, Array]:
    """Values and slopes (M, H) of H functions.  table: (K, H) coefficients.  points: (M,) within -1..1."""
    values, rates = np.zeros((points.size, table.shape[1])), np.zeros((points.size, table.shape[1]))
    for m in range(points.size):
        first, t = place(points[m], table.shape[0])
        value, slope = weights(t), slopes(t, table.shape[0])
        for k in range(4):
            for q in range(table.shape[1]):
                values[m, q] += value[k] * table[first + k, q]
                rates[m, q] += slope[k] * table[first + k, q]
    return values, rates


def grid(intervals: int) -> Array:
    """The knots (intervals + 1,) from -1 to 1."""
    return np.linspace(-1.0, 1.0, intervals + 1)


def coefficients(values: Array, first_slope: Array, last_slope: Array) -> Array:
    """The table (K, H) of the splines that go through `values` (K - 2, H) at the knots and have these slopes (H,) at -1 and 1."""
    intervals = len(values) - 1
    step = 2 / intervals
    right = 6 * np.asarray(values, np.float64)
    right[0] += 2 * step * first_slope
    right[-1] -= 2 * step * last_slope
    bands = np.ones((3, intervals + 1))
    bands[1] = 4
    bands[0, 1] = bands[2, -2] = 2  # the slopes at the ends give the outermost functions
    inner = solve_banded((1, 1), bands, right)
    first, last = inner[1] - 2 * step * first_slope, inner[-2] + 2 * step * last_slope
    return np.concatenate([first[None], inner, last[None]])
