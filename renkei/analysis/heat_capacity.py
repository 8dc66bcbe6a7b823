"""Heat capacity at constant volume from the fluctuations of the two energy estimators."""

from __future__ import annotations

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.statistics import Estimate
from kernels.units import KB_EV_PER_K


def heat_capacity(primitive: Array, virial: Array, atoms: int, temperature_K: float) -> Estimate:
    """dE_P/dT in eV/K: k [3N/2 + beta^2 Cov(E_virial, E_primitive)], exact at any number of beads (docs/methods.md).

    d<E_virial>/dbeta = <dE_virial/dbeta> - Cov(E_virial, d(beta U)/dbeta); the first term is -3N/(2 beta^2) and
    d(beta U)/dbeta is the primitive energy but for a constant. Forces and springs are enough: no second derivative, no new
    label.  primitive, virial: (T,) or (T, W) eV of the same states, restraint included.
    """
    pairs = [np.asarray(x, dtype=float).reshape(len(x), -1) for x in (primitive, virial)]
    one, two = (x - x.mean() for x in pairs)  # totals of 1e5 eV would leave no digits to their products
    fluctuation = 1 / (KB_EV_PER_K * temperature_K) ** 2

    def of_means(m: Array) -> float:
        return KB_EV_PER_K * (1.5 * atoms + fluctuation * float(m[2] - m[0] * m[1]))

    return statistics.estimate_function(np.stack([one, two, one * two], axis=-1), of_means)
