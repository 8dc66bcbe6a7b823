"""Forces from the derivative by the features, on a GPU: the tables are those of triton_loops.

The first pass leaves, for each pair, the derivative of its first atom's energy by its vector; all angles of a pair are seen from
it, so nothing is added to a neighbour. The second pass collects at each atom what belongs to it, in the order of the list.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kernels.descriptors.triton_loops import place, weight


@triton.jit
def _radial_slopes(
    row: tl.tensor, point: tl.tensor, at: tl.tensor, rows: tl.tensor, RR: tl.constexpr, TERMS: tl.constexpr
) -> tl.tensor:
    """The series of each radial row at the points, and their slopes: (rows, pairs) each."""
    value = rows[:, None] * 0 * point[None, :]
    now, last, rise, rise_last, slope = point * 0 + 1, point, point * 0, point * 0 - 1, value
    for m in range(TERMS):
        c = tl.load(row + at + m, rows < RR, other=0.0)[:, None]
        value += c * now[None, :]
        slope += c * (m * rise)[None, :]
        now, last = 2 * point * now - last, now
        rise, rise_last = 2 * point * rise - rise_last, rise
    return value, slope


@triton.jit
def _angular_slopes(
    row: tl.tensor,
    j: tl.tensor,
    x: tl.tensor,
    y: tl.tensor,
    z: tl.tensor,
    f: tl.tensor,
    df: tl.tensor,
    low: tl.tensor,
    high: tl.tensor,
    at: tl.tensor,
    rows: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    RR: tl.constexpr,
    RA: tl.constexpr,
    TERMS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Of the angles of pairs j with one group: derivatives by j's distance and unit vector, (pairs,) four times."""
    along, tx, ty, tz = x * 0, x * 0, x * 0, x * 0
    for base in range(low, high, BLOCK):
        k = base + tl.arange(0, BLOCK)
        inside = k < high
        xk, yk, zk, _dk = place(k, inside, unit, distance)
        g, _dg = weight(k, inside, rows, weights, RR, RA, 2 * (RR + RA))
        point = x[:, None] * xk[None, :] + y[:, None] * yk[None, :] + z[:, None] * zk[None, :]
        value = f[:, :, None] * 0 * point[None, :, :]
        now, last, rise, rise_last, slope = point * 0 + 1, point, point * 0, point * 0 - 1, value
        for m in range(TERMS):
            c = tl.load(row + at + m, rows < RA, other=0.0)[:, None, None]
            value += c * now[None, :, :]
            slope += c * (m * rise)[None, :, :]
            now, last = 2 * point * now - last, now
            rise, rise_last = 2 * point * rise - rise_last, rise
        other = k[None, :] != j[:, None]
        total = tl.where(other, tl.sum(df[:, :, None] * g[:, None, :] * value, 0), 0.0)
        turn = tl.where(other, tl.sum(f[:, :, None] * g[:, None, :] * slope, 0), 0.0)
        along += tl.sum(total, 1)
        tx += tl.sum(turn * xk[None, :], 1)
        ty += tl.sum(turn * yk[None, :], 1)
        tz += tl.sum(turn * zk[None, :], 1)
    return along, tx, ty, tz


@triton.jit
def pull(
    begin: tl.tensor,
    near: tl.tensor,
    end: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    weights: tl.tensor,
    gradient: tl.tensor,
    radial_at: tl.tensor,
    angular_at: tl.tensor,
    by: tl.tensor,
    scale: tl.constexpr,
    LENGTH: tl.constexpr,
    GROUPS: tl.constexpr,
    RR: tl.constexpr,
    RA: tl.constexpr,
    LONG: tl.constexpr,
    SHORT: tl.constexpr,
    RADIAL_ROWS: tl.constexpr,
    ANGULAR_ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Derivative of an atom's energy by the vector of each of its pairs.  gradient: (A, LENGTH).  by: (M, 3)."""
    i = tl.program_id(0).to(tl.int64)
    rows, turns = tl.arange(0, RADIAL_ROWS), tl.arange(0, ANGULAR_ROWS)
    row, tables = gradient + i * LENGTH, i * GROUPS
    for a in range(GROUPS):
        low, close, high = tl.load(begin + tables + a), tl.load(near + tables + a), tl.load(end + tables + a)
        radial = tl.load(radial_at + rows * GROUPS + a, rows < RR, other=0)
        for base in range(low, high, BLOCK):
            j = base + tl.arange(0, BLOCK)
            inside = j < high
            x, y, z, d = place(j, inside, unit, distance)
            v, dv = weight(j, inside, rows, weights, 0, RR, 2 * (RR + RA))
            value, slope = _radial_slopes(row, d * scale - 1, radial, rows, RR, LONG)
            along = tl.sum(dv * value + v * slope * scale, 0)
            f, df = weight(j, inside, turns, weights, RR, RA, 2 * (RR + RA))
            tx, ty, tz = x * 0, y * 0, z * 0
            for b in range(GROUPS):
                low_b, close_b = tl.load(begin + tables + b), tl.load(near + tables + b)
                stop = tl.where(base < close, close_b, low_b)  # pairs beyond the angular cut-off have no angles
                at = tl.load(angular_at + (turns * GROUPS + a) * GROUPS + b, turns < RA, other=0)
                more, px, py, pz = _angular_slopes(
                    row, j, x, y, z, f, df, low_b, stop, at, turns, unit, distance, weights, RR, RA, SHORT, BLOCK
                )
                along, tx, ty, tz = along + more, tx + px, ty + py, tz + pz
            along -= (tx * x + ty * y + tz * z) / d
            tl.store(by + 3 * j, along * x + tx / d, inside)
            tl.store(by + 3 * j + 1, along * y + ty / d, inside)
            tl.store(by + 3 * j + 2, along * z + tz / d, inside)


@triton.jit
def collect(
    begin: tl.tensor,
    end: tl.tensor,
    incoming_begin: tl.tensor,
    incoming: tl.tensor,
    unit: tl.tensor,
    distance: tl.tensor,
    by: tl.tensor,
    forces: tl.tensor,
    virial: tl.tensor,
    GROUPS: tl.constexpr,
    BLOCK: tl.constexpr,
    VIRIAL: tl.constexpr,
) -> None:
    """Force on an atom: from its own pairs, less those that end at it; VIRIAL: its pairs' part of it, virial (A, 3, 3)."""
    i = tl.program_id(0).to(tl.int64)
    axes = tl.arange(0, 4)
    low, high = tl.load(begin + i * GROUPS), tl.load(end + i * GROUPS + GROUPS - 1)
    force = tl.zeros((4,), by.dtype.element_ty)
    stress = tl.zeros((4, 4), by.dtype.element_ty)
    for base in range(low, high, BLOCK):
        q = base + tl.arange(0, BLOCK)
        mask = (q < high)[:, None] & (axes < 3)[None, :]
        push = tl.load(by + 3 * q[:, None] + axes[None, :], mask, other=0.0)
        force += tl.sum(push, 0)
        if VIRIAL:
            vector = tl.load(unit + 3 * q[:, None] + axes[None, :], mask, other=0.0)
            vector *= tl.load(distance + q, q < high, other=0.0)[:, None]
            stress -= tl.sum(vector[:, :, None] * push[:, None, :], 0)
    for base in range(tl.load(incoming_begin + i), tl.load(incoming_begin + i + 1), BLOCK):
        p = base + tl.arange(0, BLOCK)
        inside = p < tl.load(incoming_begin + i + 1)
        q = tl.load(incoming + p, inside, other=0)
        mask = inside[:, None] & (axes < 3)[None, :]
        force -= tl.sum(tl.load(by + 3 * q[:, None] + axes[None, :], mask, other=0.0), 0)
    tl.store(forces + 3 * i + axes, force, axes < 3)
    if VIRIAL:
        spots = virial + 9 * i + 3 * axes[:, None] + axes[None, :]
        tl.store(spots, stress, (axes < 3)[:, None] & (axes < 3)[None, :])
