"""Heat capacity at constant volume from the fluctuations of the two energy estimators."""

from __future__ import annotations

import numpy as np

from kernels import statistics, two_level
from kernels.arrays import Array
from kernels.statistics import Estimate
from kernels.units import KB_EV_PER_K


def heat_capacity(
    primitive: Array, virial: Array, atoms: int, temperature_K: float, log_weights: Array | None = None
) -> Estimate:
    """dE_P/dT in eV/K: k [3N/2 + beta^2 Cov(E_virial, E_primitive)], exact at any number of beads (docs/methods.md).

    d<E_virial>/dbeta = <dE_virial/dbeta> - Cov(E_virial, d(beta U)/dbeta); the first term is -3N/(2 beta^2) and
    d(beta U)/dbeta is the primitive energy but for a constant. Forces and springs are enough: no second derivative, no new
    label.  primitive, virial: (T,) or (T, W) eV of the same states, restraint included.  log_weights: the same shape; None:
    all states weigh the same.
    """
    pairs = [np.asarray(x, dtype=float).reshape(len(x), -1) for x in (primitive, virial)]
    one, two = (x - x.mean() for x in pairs)  # totals of 1e5 eV would leave no digits to their products
    fluctuation = 1 / (KB_EV_PER_K * temperature_K) ** 2

    logs = np.zeros_like(one) if log_weights is None else np.asarray(log_weights).reshape(one.shape)
    weights = np.exp(logs - logs.max())

    def of_means(m: Array) -> float:
        return KB_EV_PER_K * (1.5 * atoms + fluctuation * float(m[2] / m[3] - m[0] * m[1] / m[3] ** 2))

    columns = np.stack([one, two, one * two, np.ones_like(one)], axis=-1) * weights[..., None]
    return statistics.estimate_function(columns, of_means)


def heat_capacity_of_levels(
    surrogate: tuple[Array, Array], target: tuple[Array, Array], log_weights: Array, atoms: int, temperature_K: float
) -> Estimate:
    """The same from a two-level run.

    surrogate, target: primitive and virial energies (T, W) eV, the target's NaN without a label.  log_weights: (T, W), likewise.
    """
    centres = [float(series.mean()) for series in surrogate]
    pairs = [[series - centre for series, centre in zip(level, centres, strict=True)] for level in (surrogate, target)]
    first, second = (np.stack([one, two, one * two], axis=-1) for one, two in pairs)
    fluctuation = 1 / (KB_EV_PER_K * temperature_K) ** 2
    return two_level.combine_function(
        first, second, log_weights, lambda m: KB_EV_PER_K * (1.5 * atoms + fluctuation * float(m[2] - m[0] * m[1]))
    )
