"""Chebyshev moments of one atom's neighbourhood and their two products.

The resolved moments are radial [species, m], then angular [power, species pair, m]. A gradient with respect to them is
one polynomial for each species, or for each species pair and power, so each neighbour or triplet is visited by one
recurrence and no Jacobian appears.
"""

from __future__ import annotations

from kernels.arrays import Array
from kernels.chebyshev import BLOCK, clenshaw, project
from kernels.jit import kernel
from kernels.neighborhood import (
    BY_COS,
    BY_D,
    BY_F,
    BY_UX,
    BY_UY,
    BY_UZ,
    BY_WEIGHT,
    COS,
    F_ANGULAR,
    INVERSE,
    SLOPE,
    SLOPE_ANGULAR,
    UX,
    UY,
    UZ,
    WEIGHT,
    Around,
    F,
    X,
)
from kernels.plan import Plan
from kernels.splines import look_up
from kernels.splines import project as project_splines


@kernel
def _angular_part(plan: Plan, around: Around, power: int, species_pair: int) -> Array:
    """The slice of the moments that belongs to one power (by its place) and species pair."""
    terms, pairs = plan.angular_terms, around.columns.size - 1
    begin = plan.species * plan.radial_terms + (power * pairs + species_pair) * terms
    return around.moments[begin : begin + terms]


@kernel
def measure(plan: Plan, around: Around) -> None:
    """Fill `moments` with the resolved moments of the gathered neighbours."""
    around.moments[:] = 0.0
    even, odd = around.block[0], around.block[1]
    for s in range(plan.species):
        low, high = around.begin[s], around.begin[s + 1]
        x, f = around.pair[X, low:high], around.pair[F, low:high]
        for t in range(high - low):
            even[t] = f[t]
        terms = plan.radial_terms
        _add_up(plan, x, even[: high - low], odd[: high - low], around.moments[s * terms : (s + 1) * terms])
    for species_pair in range(around.columns.size - 1):
        for low in range(around.columns[species_pair], around.columns[species_pair + 1], BLOCK):
            high = min(low + BLOCK, around.columns[species_pair + 1])
            x, w = around.triplet[COS, low:high], around.triplet[WEIGHT, low:high]
            for power in range(plan.powers.size):
                raised(w, plan.powers[power], even)
                _add_up(plan, x, even[: high - low], odd[: high - low], _angular_part(plan, around, power, species_pair))


@kernel
def _add_up(plan: Plan, x: Array, weight: Array, scratch: Array, sums: Array) -> None:
    """sums[m] += sum_t weight T_m(x); overwrites weight and scratch.  x, weight, scratch: (points,)."""
    if plan.splines:
        scratch[:] = 0.0
        project_splines(x, weight, scratch, sums)
        return
    for t in range(x.size):
        scratch[t] = weight[t] * x[t]
    project(x, weight, scratch, sums)


@kernel
def raised(base: Array, power: int, result: Array) -> None:
    """result = base ** power for a whole number, by products.  base, result: (points,)."""
    for t in range(base.size):
        result[t] = 1.0
    for _ in range(power):
        for t in range(base.size):
            result[t] *= base[t]


@kernel
def push(plan: Plan, around: Around, i: int, forces: Array, virial: Array) -> None:
    """Add the forces (N, 3) and virial (3, 3) of atom i's energy, whose derivatives stand in `moments`."""
    _by_distance(plan, around)
    for species_pair in range(around.columns.size - 1):
        for low in range(around.columns[species_pair], around.columns[species_pair + 1], BLOCK):
            _by_angle(plan, around, species_pair, low, min(low + BLOCK, around.columns[species_pair + 1]))
    distribute(plan, around, i, forces, virial)


@kernel
def distribute(plan: Plan, around: Around, i: int, forces: Array, virial: Array) -> None:
    """Add the forces (N, 3) and virial (3, 3) of atom i's energy, whose derivatives stand in BY_D, BY_COS and BY_WEIGHT."""
    _spread(plan, around)
    _collect(around, i, forces, virial)


@kernel
def _by_distance(plan: Plan, around: Around) -> None:
    """dE/dd of the radial moments."""
    pair, now, last = around.pair, around.block[0], around.block[1]
    scale = 2 / plan.radial_cutoff
    for s in range(plan.species):
        low, high = around.begin[s], around.begin[s + 1]
        series = around.moments[s * plan.radial_terms : (s + 1) * plan.radial_terms]
        x = pair[X, low:high]
        if plan.splines:
            value, rate = now[: high - low], last[: high - low]
            look_up(series, x, value, rate)
            for t in range(high - low):
                pair[BY_D, low + t] = pair[SLOPE, low + t] * value[t] + pair[F, low + t] * rate[t] * scale
            continue
        clenshaw(x, series, now[: high - low], last[: high - low])
        for t in range(high - low):
            pair[BY_D, low + t] = pair[SLOPE, low + t] * (now[t] - x[t] * last[t])
        clenshaw(x, _differentiate(series, around.rates), now[: high - low], last[: high - low])
        for t in range(high - low):
            pair[BY_D, low + t] += pair[F, low + t] * now[t] * scale


@kernel
def _differentiate(series: Array, rates: Array) -> Array:
    """Coefficients of the derivative in U_m, as T_m' = m U_m-1; one fewer than there are in `series`."""
    for m in range(series.size - 1):
        rates[m] = (m + 1) * series[m + 1]
    return rates[: series.size - 1]


@kernel
def _by_angle(plan: Plan, around: Around, species_pair: int, low: int, high: int) -> None:
    """dE/d weight and dE/d cosine of a block of triplets."""
    x, w = around.triplet[COS, low:high], around.triplet[WEIGHT, low:high]
    by_cosine, by_weight = around.triplet[BY_COS, low:high], around.triplet[BY_WEIGHT, low:high]
    now, last, lower = around.block[0, : high - low], around.block[1, : high - low], around.block[2, : high - low]
    by_cosine[:] = 0.0
    by_weight[:] = 0.0
    for power in range(plan.powers.size):
        series = _angular_part(plan, around, power, species_pair)
        exponent = plan.powers[power]
        raised(w, exponent - 1, lower)
        if plan.splines:
            look_up(series, x, now, last)
            for t in range(x.size):
                by_weight[t] += exponent * lower[t] * now[t]
                by_cosine[t] += lower[t] * w[t] * last[t]
            continue
        clenshaw(x, series, now, last)
        for t in range(x.size):
            by_weight[t] += exponent * lower[t] * (now[t] - x[t] * last[t])
        clenshaw(x, _differentiate(series, around.rates), now, last)
        for t in range(x.size):
            by_cosine[t] += lower[t] * w[t] * now[t]


@kernel
def _spread(plan: Plan, around: Around) -> None:
    """Sums over the triplets of a neighbour: dE/df and dE/du (without its projection)."""
    column, pair = 0, around.pair
    for row in range(BY_F, BY_UZ + 1):
        sums = pair[row]
        for q in range(around.begin[plan.species]):
            sums[q] = 0.0
    for a in range(plan.species):
        for b in range(a, plan.species):
            for j in range(around.begin[a], around.middle[a]):
                k = j + 1 if a == b else around.begin[b]
                count = around.middle[b] - k
                if count > 0:
                    _spread_row(around.pair, around.triplet[:, column : column + count], j, k)
                    column += count


@kernel
def _spread_row(pair: Array, run: Array, j: int, k: int) -> None:
    """The part of one neighbour j and a run of neighbours from k on.  run: (TRIPLET_ROWS, length)."""
    by_weight, by_cosine = run[BY_WEIGHT], run[BY_COS]
    f, x, y, z = pair[F_ANGULAR, k:], pair[UX, k:], pair[UY, k:], pair[UZ, k:]
    sum_f, sum_x, sum_y, sum_z = 0.0, 0.0, 0.0, 0.0
    for t in range(by_weight.size):
        sum_f += by_weight[t] * f[t]
        sum_x += by_cosine[t] * x[t]
        sum_y += by_cosine[t] * y[t]
        sum_z += by_cosine[t] * z[t]
    mine_f, mine_x, mine_y, mine_z = pair[F_ANGULAR, j], pair[UX, j], pair[UY, j], pair[UZ, j]
    by_f, by_x, by_y, by_z = pair[BY_F, k:], pair[BY_UX, k:], pair[BY_UY, k:], pair[BY_UZ, k:]
    for t in range(by_weight.size):
        by_f[t] += by_weight[t] * mine_f
        by_x[t] += by_cosine[t] * mine_x
        by_y[t] += by_cosine[t] * mine_y
        by_z[t] += by_cosine[t] * mine_z
    pair[BY_F, j] += sum_f
    pair[BY_UX, j] += sum_x
    pair[BY_UY, j] += sum_y
    pair[BY_UZ, j] += sum_z


@kernel
def _collect(around: Around, i: int, forces: Array, virial: Array) -> None:
    """Turn the derivatives of each neighbour into forces and virial."""
    pair = around.pair
    for q in range(around.begin[-1]):
        ux, uy, uz = pair[UX, q], pair[UY, q], pair[UZ, q]
        gx, gy, gz, inverse = pair[BY_UX, q], pair[BY_UY, q], pair[BY_UZ, q], pair[INVERSE, q]
        along = pair[BY_D, q] + pair[SLOPE_ANGULAR, q] * pair[BY_F, q] - (ux * gx + uy * gy + uz * gz) * inverse
        step = (along * ux + gx * inverse, along * uy + gy * inverse, along * uz + gz * inverse)
        j = around.atom[q]
        for axis in range(3):
            forces[j, axis] -= step[axis]
            forces[i, axis] += step[axis]
            for other in range(3):
                virial[axis, other] -= around.vector[q, axis] * step[other]


@kernel
def drift(plan: Plan, around: Around, i: int, direction: Array) -> None:
    """Fill `moments` with their change per unit of motion along `direction` (N, 3)."""
    around.moments[:] = 0.0
    _drift_pairs(around, i, direction)
    _drift_triplets(plan, around)
    pair, even, odd, factor = around.pair, around.block[0], around.block[1], around.block[2]
    scale, terms = 2 / plan.radial_cutoff, plan.radial_terms
    for s in range(plan.species):
        low, high = around.begin[s], around.begin[s + 1]
        for t in range(high - low):
            even[t] = pair[SLOPE, low + t] * pair[BY_D, low + t]
            factor[t] = pair[F, low + t] * pair[BY_D, low + t] * scale
        part = around.moments[s * terms : (s + 1) * terms]
        _tangent(plan, pair[X, low:high], even, odd, factor, part, around.rates)
    for species_pair in range(around.columns.size - 1):
        for low in range(around.columns[species_pair], around.columns[species_pair + 1], BLOCK):
            high = min(low + BLOCK, around.columns[species_pair + 1])
            x, w = around.triplet[COS, low:high], around.triplet[WEIGHT, low:high]
            for power in range(plan.powers.size):
                exponent = plan.powers[power]
                raised(w, exponent - 1, even)
                for t in range(high - low):
                    factor[t] = even[t] * w[t] * around.triplet[BY_COS, low + t]
                    even[t] *= exponent * around.triplet[BY_WEIGHT, low + t]
                _tangent(plan, x, even, odd, factor, _angular_part(plan, around, power, species_pair), around.rates)


@kernel
def _tangent(plan: Plan, x: Array, even: Array, odd: Array, factor: Array, sums: Array, rates: Array) -> None:
    """sums[m] += sum_t even T_m(x) + factor T_m'(x); overwrites even and odd."""
    count = x.size
    if plan.splines:
        project_splines(x, even, factor, sums)
        return
    for t in range(count):
        odd[t] = even[t] * x[t]
    project(x, even[:count], odd[:count], sums)
    for m in range(sums.size):
        rates[m] = 0.0
    for t in range(count):
        even[t] = 0.0
        odd[t] = factor[t]
    project(x, even[:count], odd[:count], rates[: sums.size])
    for m in range(sums.size):
        sums[m] += m * rates[m]


@kernel
def _drift_pairs(around: Around, i: int, direction: Array) -> None:
    """Change of each distance, angular cut-off and unit vector, left in the BY rows."""
    pair = around.pair
    for q in range(around.begin[-1]):
        j = around.atom[q]
        vx = direction[j, 0] - direction[i, 0]
        vy = direction[j, 1] - direction[i, 1]
        vz = direction[j, 2] - direction[i, 2]
        ux, uy, uz, inverse = pair[UX, q], pair[UY, q], pair[UZ, q], pair[INVERSE, q]
        along = ux * vx + uy * vy + uz * vz
        pair[BY_D, q] = along
        pair[BY_F, q] = pair[SLOPE_ANGULAR, q] * along
        pair[BY_UX, q] = (vx - along * ux) * inverse
        pair[BY_UY, q] = (vy - along * uy) * inverse
        pair[BY_UZ, q] = (vz - along * uz) * inverse


@kernel
def _drift_triplets(plan: Plan, around: Around) -> None:
    """Change of each triplet's cosine and weight, left in the BY rows."""
    pair, triplet, column = around.pair, around.triplet, 0
    for a in range(plan.species):
        for b in range(a, plan.species):
            for j in range(around.begin[a], around.middle[a]):
                for k in range(j + 1 if a == b else around.begin[b], around.middle[b]):
                    turn = pair[BY_UX, j] * pair[UX, k] + pair[BY_UY, j] * pair[UY, k] + pair[BY_UZ, j] * pair[UZ, k]
                    turn += pair[UX, j] * pair[BY_UX, k] + pair[UY, j] * pair[BY_UY, k] + pair[UZ, j] * pair[BY_UZ, k]
                    triplet[BY_COS, column] = turn
                    triplet[BY_WEIGHT, column] = pair[BY_F, j] * pair[F_ANGULAR, k] + pair[F_ANGULAR, j] * pair[BY_F, k]
                    column += 1
