"""The Chebyshev descriptor in NumPy, readable and slow: what the other backends are compared with."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from kernels.arrays import Array
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.base import Pairs
from kernels.neighbors.reference import pairs


def values(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array) -> Array:
    """Features (B, N, F).  positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool."""
    return np.array([_differentiate(descriptor, x, kinds(descriptor, numbers), cell, pbc)[0] for x in positions])


def pull_back(
    descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, gradient: Array
) -> tuple[Array, Array]:
    """Forces (B, N, 3) eV/A and virial (B, 3, 3) eV of an energy with the derivative `gradient`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  gradient: (B, N, F) eV.
    """
    forces, virial = np.zeros(np.shape(positions)), np.zeros((len(positions), 3, 3))
    for b, x in enumerate(positions):
        _, near, slopes = _differentiate(descriptor, x, kinds(descriptor, numbers), cell, pbc)
        pull = -np.einsum("qfa,qf->qa", slopes, np.asarray(gradient)[b][near.first])
        np.add.at(forces[b], near.second, pull)
        np.add.at(forces[b], near.first, -pull)
        virial[b] = near.vector.T @ pull
    return forces, virial


def push_forward(descriptor: Chebyshev, positions: Array, numbers: Array, cell: Array, pbc: Array, direction: Array) -> Array:
    """Change of the features (B, N, F) per unit of motion along `direction`.

    positions: (B, N, 3) A.  numbers: (N,).  cell: (3, 3) A.  pbc: (3,) bool.  direction: (B, N, 3), any unit.
    """
    change = np.zeros((*np.shape(positions)[:2], descriptor.length))
    for b, x in enumerate(positions):
        _, near, slopes = _differentiate(descriptor, x, kinds(descriptor, numbers), cell, pbc)
        motion = np.asarray(direction)[b][near.second] - np.asarray(direction)[b][near.first]
        np.add.at(change[b], near.first, np.einsum("qfa,qa->qf", slopes, motion))
    return change


def _differentiate(
    descriptor: Chebyshev, positions: Array, species: Array, cell: Array, pbc: Array
) -> tuple[Array, Pairs, Array]:
    """Features (N, F), the pairs, and the derivative of the first atom's features by each pair's vector (M, F, 3)."""
    near = pairs(positions, cell, pbc, descriptor.radial_cutoff_A)
    features = np.zeros((len(positions), descriptor.length))
    slopes = np.zeros((len(near.first), descriptor.length, 3))
    (radial_mix, angular_mix), (radial_place, angular_place) = descriptor.mixing, descriptor.places
    count = len(descriptor.species)
    pair_number = {pair: n for n, pair in enumerate((a, b) for a in range(count) for b in range(a, count))}
    for q, i in enumerate(near.first):
        value, slope = _radial(descriptor, near.vector[q])
        for weight, place in zip(radial_mix[:, species[near.second[q]]], radial_place, strict=True):
            features[i, place : place + len(value)] += weight * value
            slopes[q, place : place + len(value)] += weight * slope
        for p in np.flatnonzero(near.first[:q] == i):
            kind = tuple(sorted((species[near.second[p]], species[near.second[q]])))
            for power, places in zip(descriptor.powers, angular_place, strict=True):
                value, slope_p, slope_q = _angular(descriptor, power, near.vector[p], near.vector[q])
                for weight, place in zip(angular_mix[:, pair_number[kind]], places, strict=True):
                    features[i, place : place + len(value)] += weight * value
                    slopes[p, place : place + len(value)] += weight * slope_p
                    slopes[q, place : place + len(value)] += weight * slope_q
    return features, near, slopes


def _cutoff(distance: float, radius: float) -> tuple[float, float]:
    """The cosine cut-off and its derivative."""
    if distance >= radius:
        return 0.0, 0.0
    angle = np.pi * distance / radius
    return 0.5 * (np.cos(angle) + 1), -0.5 * np.pi / radius * np.sin(angle)


def _polynomials(order: int, x: float) -> tuple[Array, Array]:
    """T_m(x) and T_m'(x), m = 0..order."""
    angle, orders = np.arccos(np.clip(x, -1, 1)), np.arange(order + 1)
    if abs(x) > 1 - 1e-9:  # 0/0 below; T_m'(1) = m^2
        return np.cos(orders * angle), orders**2 * np.sign(x) ** (orders + 1)
    return np.cos(orders * angle), orders * np.sin(orders * angle) / np.sin(angle)


def _functions(descriptor: Chebyshev, order: int, x: float) -> tuple[Array, Array]:
    """The basis functions m = 0..order at x and their derivatives."""
    if descriptor.basis == "chebyshev":
        return _polynomials(order, x)
    step = 2 / (order - 2)
    spline = BSpline.basis_element(step * np.arange(5.0), extrapolate=False)
    places = x + 1 + step * (3 - np.arange(order + 1))
    return np.nan_to_num(spline(places)), np.nan_to_num(spline.derivative()(places))


def _radial(descriptor: Chebyshev, vector: Array) -> tuple[Array, Array]:
    """One neighbour's radial terms (m,) and their derivatives by its vector (m, 3)."""
    distance = float(np.linalg.norm(vector))
    f, df = _cutoff(distance, descriptor.radial_cutoff_A)
    scale = 2 / descriptor.radial_cutoff_A
    t, dt = _functions(descriptor, descriptor.radial_order, distance * scale - 1)
    return f * t, np.outer(df * t + f * dt * scale, vector / distance)


def _angular(descriptor: Chebyshev, power: int, first: Array, second: Array) -> tuple[Array, Array, Array]:
    """One triplet's angular terms (m,) and their derivatives by both vectors (m, 3)."""
    d, e = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    u, v = first / d, second / e
    (f, df), (g, dg) = _cutoff(d, descriptor.angular_cutoff_A), _cutoff(e, descriptor.angular_cutoff_A)
    cosine = float(u @ v)
    t, dt = _functions(descriptor, descriptor.angular_order, cosine)
    weight = (f * g) ** power
    by_weight = power * (f * g) ** (power - 1)
    by_first = np.outer(by_weight * df * g * t, u) + np.outer(weight * dt, (v - cosine * u) / d)
    by_second = np.outer(by_weight * f * dg * t, v) + np.outer(weight * dt, (u - cosine * v) / e)
    return weight * t, by_first, by_second
