"""The loops of the Chebyshev descriptor on a GPU: one program per atom, no Jacobian, no atomic addition.

The neighbours of an atom follow one another, group by group, those within the angular cut-off first in each. A row is one
weight of the sums: a row r of the angular ones is u_r(j) u_r(k) T_m(cos jik), u_r being a power of the cut-off times a factor of
the neighbour's species, and every group pair has its own place in the features. Tables, M pairs in all:

    begin, near, end (A, G) int32   first neighbour of a group, end of those near, end of the group
    unit (M, 3)   distance (M,)   weights (M, 2 (RR + RA))   value and slope of each radial row, then of each angular one
    radial_at (RR, G), angular_at (RA, G, G) int32           first feature of a row and a group or two groups
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _cutoff(distance: tl.tensor, radius: tl.constexpr, per: tl.constexpr) -> tl.tensor:
    """The cosine cut-off and its slope.  per: pi / radius."""
    inside = distance >= radius
    value = tl.where(inside, 0.0, 0.5 * (tl.cos(distance * per) + 1))
    return value, tl.where(inside, 0.0, -0.5 * per * tl.sin(distance * per))


@triton.jit
def measure(
    vector: tl.tensor,
    second: tl.tensor,
    species: tl.tensor,
    factor: tl.tensor,
    powers: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    count: tl.tensor,
    spec: tl.constexpr,
    radial_A: tl.constexpr,
    radial_per: tl.constexpr,
    angular_A: tl.constexpr,
    angular_per: tl.constexpr,
    RR: tl.constexpr,
    RA: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Unit vectors, distances and weights of the pairs, in the precision of `vector`; stored in that of the tables.

    factor: (RR + RA, spec).  powers: (RA,).  species: (A,).  count: M.
    """
    q = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = q < count
    x = tl.load(vector + 3 * q, inside, other=1.0)
    y = tl.load(vector + 3 * q + 1, inside, other=0.0)
    z = tl.load(vector + 3 * q + 2, inside, other=0.0)
    kind = tl.load(species + tl.load(second + q, inside, other=0))
    d = tl.sqrt(x * x + y * y + z * z)
    tl.store(distance + q, d, inside)
    tl.store(unit + 3 * q, x / d, inside)
    tl.store(unit + 3 * q + 1, y / d, inside)
    tl.store(unit + 3 * q + 2, z / d, inside)
    here = weights + q * (2 * (RR + RA))
    f, df = _cutoff(d, radial_A, radial_per)
    for r in tl.static_range(RR):
        share = tl.load(factor + r * spec + kind)
        tl.store(here + 2 * r, share * f, inside)
        tl.store(here + 2 * r + 1, share * df, inside)
    g, dg = _cutoff(d, angular_A, angular_per)
    for r in tl.static_range(RA):
        share = tl.load(factor + (RR + r) * spec + kind)
        power = tl.load(powers + r)
        lower = g * 0 + 1
        for _ in range(1, power):
            lower = lower * g
        tl.store(here + 2 * (RR + r), share * lower * g, inside)
        tl.store(here + 2 * (RR + r) + 1, share * power * lower * dg, inside)


@triton.jit
def place(q: tl.tensor, inside: tl.tensor, unit: tl.tensor, distance: tl.tensor) -> tl.tensor:
    """Unit vectors and distances of some pairs."""
    x = tl.load(unit + 3 * q, inside, other=0.0)
    y = tl.load(unit + 3 * q + 1, inside, other=0.0)
    z = tl.load(unit + 3 * q + 2, inside, other=0.0)
    return x, y, z, tl.load(distance + q, inside, other=1.0)


@triton.jit
def weight(
    q: tl.tensor,
    inside: tl.tensor,
    rows: tl.tensor,
    weights: tl.tensor,
    first: tl.constexpr,
    count: tl.constexpr,
    width: tl.constexpr,
) -> tl.tensor:
    """Value and slope of `count` rows from `first` on, (rows, pairs) each; 0 outside."""
    here = weights + q[None, :] * width + 2 * (first + rows[:, None])
    mask = inside[None, :] & (rows[:, None] < count)
    return tl.load(here, mask, other=0.0), tl.load(here + 1, mask, other=0.0)


@triton.jit
def _motion(
    q: tl.tensor,
    inside: tl.tensor,
    x: tl.tensor,
    y: tl.tensor,
    z: tl.tensor,
    d: tl.tensor,
    i: tl.tensor,
    second: tl.tensor,
    direction: tl.tensor,
    strain: tl.tensor,
    STRAINED: tl.constexpr,
) -> tl.tensor:
    """How the distances and the unit vectors of some pairs of atom i change."""
    there = direction + 3 * tl.load(second + q, inside, other=0)
    here = direction + 3 * i
    dx = tl.load(there, inside, other=0.0) - tl.load(here)
    dy = tl.load(there + 1, inside, other=0.0) - tl.load(here + 1)
    dz = tl.load(there + 2, inside, other=0.0) - tl.load(here + 2)
    if STRAINED:
        e = strain + 9 * i
        dx += d * (tl.load(e) * x + tl.load(e + 1) * y + tl.load(e + 2) * z)
        dy += d * (tl.load(e + 3) * x + tl.load(e + 4) * y + tl.load(e + 5) * z)
        dz += d * (tl.load(e + 6) * x + tl.load(e + 7) * y + tl.load(e + 8) * z)
    longer = x * dx + y * dy + z * dz
    return longer, (dx - longer * x) / d, (dy - longer * y) / d, (dz - longer * z) / d


@triton.jit
def _radial_sums(
    i: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    second: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    direction: tl.tensor,
    strain: tl.tensor,
    scale: tl.constexpr,
    RR: tl.constexpr,
    RA: tl.constexpr,
    TERMS: tl.constexpr,
    ROWS: tl.constexpr,
    ORDERS: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    STRAINED: tl.constexpr,
) -> tl.tensor:
    """The radial features of one group, or their change: (ROWS, ORDERS)."""
    rows, orders = tl.arange(0, ROWS), tl.arange(0, ORDERS)
    sums = tl.zeros((ROWS, ORDERS), distance.dtype.element_ty)
    for base in range(low, high, BLOCK):
        q = base + tl.arange(0, BLOCK)
        inside = q < high
        x, y, z, d = place(q, inside, unit, distance)
        flat, slope = weight(q, inside, rows, weights, 0, RR, 2 * (RR + RA))
        point = d * scale - 1
        now, last, rise, rise_last = point * 0 + 1, point, point * 0, point * 0 - 1
        if MOVED:
            longer, _tx, _ty, _tz = _motion(q, inside, x, y, z, d, i, second, direction, strain, STRAINED)
            steep = flat * (longer * scale)[None, :]
            flat = slope * longer[None, :]
        for m in range(TERMS):
            terms = flat * now[None, :]
            if MOVED:
                terms += steep * (m * rise)[None, :]
                rise, rise_last = 2 * point * rise - rise_last, rise
            sums += tl.where(orders[None, :] == m, tl.sum(terms, 1)[:, None], 0.0)
            now, last = 2 * point * now - last, now
    return sums


@triton.jit
def _angular_sums(
    i: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    low_b: tl.tensor,
    high_b: tl.tensor,
    second: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    direction: tl.tensor,
    strain: tl.tensor,
    RR: tl.constexpr,
    RA: tl.constexpr,
    TERMS: tl.constexpr,
    ROWS: tl.constexpr,
    ORDERS: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    STRAINED: tl.constexpr,
) -> tl.tensor:
    """The angular features of two groups, or their change: (ROWS, ORDERS). The second group is the first or comes later."""
    rows, orders = tl.arange(0, ROWS), tl.arange(0, ORDERS)
    sums = tl.zeros((ROWS, ORDERS), distance.dtype.element_ty)
    for base in range(low, high, BLOCK):
        j = base + tl.arange(0, BLOCK)
        inside = j < high
        x, y, z, d = place(j, inside, unit, distance)
        f, df = weight(j, inside, rows, weights, RR, RA, 2 * (RR + RA))
        if MOVED:
            longer, tx, ty, tz = _motion(j, inside, x, y, z, d, i, second, direction, strain, STRAINED)
        for other in range(tl.maximum(low_b, base), high_b, BLOCK):
            k = other + tl.arange(0, BLOCK)
            also = k < high_b
            xk, yk, zk, dk = place(k, also, unit, distance)
            g, dg = weight(k, also, rows, weights, RR, RA, 2 * (RR + RA))
            once = (k[None, :] > j[:, None])[None, :, :]
            point = x[:, None] * xk[None, :] + y[:, None] * yk[None, :] + z[:, None] * zk[None, :]
            flat = tl.where(once, f[:, :, None] * g[:, None, :], 0.0)
            now, last, rise, rise_last = point * 0 + 1, point, point * 0, point * 0 - 1
            if MOVED:
                longer_k, txk, tyk, tzk = _motion(k, also, xk, yk, zk, dk, i, second, direction, strain, STRAINED)
                opening = tx[:, None] * xk[None, :] + ty[:, None] * yk[None, :] + tz[:, None] * zk[None, :]
                opening += x[:, None] * txk[None, :] + y[:, None] * tyk[None, :] + z[:, None] * tzk[None, :]
                steep = flat * opening[None, :, :]
                left, right = (df * longer[None, :])[:, :, None], (dg * longer_k[None, :])[:, None, :]
                flat = tl.where(once, left * g[:, None, :] + f[:, :, None] * right, 0.0)
            for m in range(TERMS):
                terms = flat * now[None, :, :]
                if MOVED:
                    terms += steep * (m * rise)[None, :, :]
                    rise, rise_last = 2 * point * rise - rise_last, rise
                sums += tl.where(orders[None, :] == m, tl.sum(tl.sum(terms, 2), 1)[:, None], 0.0)
                now, last = 2 * point * now - last, now
    return sums


@triton.jit
def project(
    begin: tl.tensor,
    near: tl.tensor,
    end: tl.tensor,
    second: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    direction: tl.tensor,
    strain: tl.tensor,
    radial_at: tl.tensor,
    angular_at: tl.tensor,
    out: tl.tensor,
    scale: tl.constexpr,
    LENGTH: tl.constexpr,
    GROUPS: tl.constexpr,
    RR: tl.constexpr,
    RA: tl.constexpr,
    LONG: tl.constexpr,
    SHORT: tl.constexpr,
    RADIAL_ROWS: tl.constexpr,
    ANGULAR_ROWS: tl.constexpr,
    LONG_ROOM: tl.constexpr,
    SHORT_ROOM: tl.constexpr,
    BLOCK: tl.constexpr,
    MOVED: tl.constexpr,
    STRAINED: tl.constexpr,
) -> None:
    """Features of an atom, out (A, LENGTH); MOVED: their change along `direction` (A, 3); STRAINED: and `strain` (A, 3, 3).

    LONG, SHORT: radial and angular terms; ..._ROWS, ..._ROOM: powers of two with room for rows and terms.
    """
    i = tl.program_id(0).to(tl.int64)
    rows, orders = tl.arange(0, RADIAL_ROWS), tl.arange(0, LONG_ROOM)
    turns, bends = tl.arange(0, ANGULAR_ROWS), tl.arange(0, SHORT_ROOM)
    tables = i * GROUPS
    for a in range(GROUPS):
        low, close, high = tl.load(begin + tables + a), tl.load(near + tables + a), tl.load(end + tables + a)
        sums = _radial_sums(
            i, low, high, second, unit, distance, weights, direction, strain,
            scale, RR, RA, LONG, RADIAL_ROWS, LONG_ROOM, 2 * BLOCK, MOVED, STRAINED,
        )  # fmt: skip
        at = tl.load(radial_at + rows * GROUPS + a, rows < RR, other=0)
        spots = out + i * LENGTH + at[:, None] + orders[None, :]
        tl.store(spots, sums, (rows[:, None] < RR) & (orders[None, :] < LONG))
        for b in range(a, GROUPS):
            low_b, close_b = tl.load(begin + tables + b), tl.load(near + tables + b)
            bent = _angular_sums(
                i, low, close, low_b, close_b, second, unit, distance, weights, direction, strain,
                RR, RA, SHORT, ANGULAR_ROWS, SHORT_ROOM, BLOCK, MOVED, STRAINED,
            )  # fmt: skip
            place_b = tl.load(angular_at + (turns * GROUPS + a) * GROUPS + b, turns < RA, other=0)
            spots_b = out + i * LENGTH + place_b[:, None] + bends[None, :]
            tl.store(spots_b, bent, (turns[:, None] < RA) & (bends[None, :] < SHORT))
