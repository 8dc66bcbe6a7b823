"""Chebyshev sums over many points at once: the two inner loops of the descriptors.

Orders run four at a time outside, points inside, so that the compiler can use vector instructions whatever the order is.
"""

from __future__ import annotations

from kernels.arrays import Array
from kernels.jit import kernel

BLOCK = 256  # points; three arrays of this size stay in the first-level cache


@kernel
def project(x: Array, even: Array, odd: Array, sums: Array) -> None:
    """Add sum_t y_m(t) to sums[m], where y_0 = even, y_1 = odd and y_m+1 = 2 x y_m - y_m-1.

    (w, w x) gives moments with T_m, (0, w) moments with U_m-1.  x, even, odd: (points,), the last two are overwritten.
    """
    points, orders = x.size, sums.size
    whole = orders - orders % 4
    for m in range(0, whole, 4):
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for t in range(points):
            y = 2 * x[t]
            a, b = even[t], odd[t]
            c = y * b - a
            d = y * c - b
            e = y * d - c
            s0 += a
            s1 += b
            s2 += c
            s3 += d
            even[t] = e
            odd[t] = y * e - d
        sums[m] += s0
        sums[m + 1] += s1
        sums[m + 2] += s2
        sums[m + 3] += s3
    for m in range(whole, orders):
        s0 = 0.0
        for t in range(points):
            a, b = even[t], odd[t]
            s0 += a
            even[t] = b
            odd[t] = 2 * x[t] * b - a
        sums[m] += s0


@kernel
def clenshaw(x: Array, series: Array, now: Array, last: Array) -> None:
    """Downward recurrence b_m = c_m + 2 x b_m+1 - b_m+2; leaves b_0 in `now` and b_1 in `last`.

    Then sum_m c_m U_m(x) = b_0 and sum_m c_m T_m(x) = b_0 - x b_1.  x, now, last: (points,).  series: (orders,).
    """
    points, orders = x.size, series.size
    whole = orders - orders % 4
    for t in range(points):
        now[t] = 0.0
        last[t] = 0.0
    for m in range(orders - 1, whole - 1, -1):
        c0 = series[m]
        for t in range(points):
            a, b = now[t], last[t]
            now[t] = c0 + 2 * x[t] * a - b
            last[t] = a
    for m in range(whole - 4, -4, -4):
        c0, c1, c2, c3 = series[m], series[m + 1], series[m + 2], series[m + 3]
        for t in range(points):
            y = 2 * x[t]
            a, b = now[t], last[t]
            c = y * a + (c3 - b)
            d = y * c + (c2 - a)
            e = y * d + (c1 - c)
            now[t] = y * e + (c0 - d)
            last[t] = e


@kernel
def sine(z: float) -> float:
    """sin z for |z| <= pi/2, to the last bits; without a call, so that loops over it become vector code."""
    y = z * z
    series = y * (1 / 51090942171709440000) - 1 / 121645100408832000
    series = y * series + 1 / 355687428096000
    series = y * series - 1 / 1307674368000
    series = y * series + 1 / 6227020800
    series = y * series - 1 / 39916800
    series = y * series + 1 / 362880
    series = y * series - 1 / 5040
    series = y * series + 1 / 120
    series = y * series - 1 / 6
    return z + z * y * series


@kernel
def cosine(z: float) -> float:
    """cos z for |z| <= pi/2, to the last bits (absolute)."""
    y = z * z
    series = 1 / 1124000727777607680000 - y * (1 / 620448401733239439360000)
    series = y * series - 1 / 2432902008176640000
    series = y * series + 1 / 6402373705728000
    series = y * series - 1 / 20922789888000
    series = y * series + 1 / 87178291200
    series = y * series - 1 / 479001600
    series = y * series + 1 / 3628800
    series = y * series - 1 / 40320
    series = y * series + 1 / 720
    series = y * series - 1 / 24
    return 1 - y * (0.5 + y * series)
