"""Other masses and other temperatures from the same states: rings scaled about their centroids, then reweighted.

Both need the potential at the scaled rings: P new evaluations a state.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.statistics import Estimate
from kernels.units import KB_EV_PER_K
from renkei.analysis.path_integral import centroids, kinetic_virial

Energies = Callable[[Array], Array]  # (B, N, 3) A -> (B,) eV
EnergiesAndForces = Callable[[Array], tuple[Array, Array]]  # (B, N, 3) A -> (B,) eV, (B, N, 3) eV/A


def scaled_rings(positions: Array, factor: Array | float) -> Array:
    """Rings whose beads are `factor` times as far from their centroids.

    positions: (..., P, N, 3) A.  factor: one number, or (N,).  Returns (..., P, N, 3) A.
    """
    centre = centroids(positions)[..., None, :, :]
    return np.asarray(centre + np.broadcast_to(factor, positions.shape[-2:-1])[:, None] * (positions - centre))


def isotope_free_energy(
    positions: Array, masses_amu: Array, other_masses_amu: Array, temperature_K: float, energies: Energies
) -> Estimate:
    """Free energy F(m') - F(m), eV, from states sampled with the masses m.

    With r' = r_c + sqrt(m/m') (r - r_c) the springs stay as they are, and
    Z(m')/Z(m) = prod (m'/m)^{3/2} <exp(-beta [V(r') - V(r)])>, V the bead average.
    positions: (T, W, P, N, 3) A.  masses_amu, other_masses_amu: (N,).  energies: of the target.
    """
    thermal = KB_EV_PER_K * temperature_K
    ratio = np.asarray(other_masses_amu, dtype=float) / np.asarray(masses_amu, dtype=float)
    change = _bead_average(scaled_rings(positions, np.sqrt(1 / ratio)), energies) - _bead_average(positions, energies)
    least = float(change.min())  # out of the exponential
    classical = -1.5 * thermal * float(np.log(ratio).sum())
    weights = np.exp(-(change - least) / thermal)
    return statistics.estimate_function(weights[..., None], lambda m: classical + least - thermal * float(np.log(m[0])))


def heat_capacity_by_scaling(
    positions: Array, temperature_K: float, difference_K: float, potential: EnergiesAndForces
) -> Estimate:
    """[E_P(T + d) - E_P(T - d)] / 2d, eV/K, both energies from the states of T: rings scaled by sqrt(T/T'), reweighted.

    The scaled rings have beta' springs' = beta springs, so the weights are exp(-beta' V(r') + beta V(r)), V the bead average;
    E_P is the mean of the centroid-virial estimator.  positions: (T, W, P, N, 3) A.
    """
    energies, _ = _evaluate(positions, potential)
    columns = []
    for other_K in (temperature_K + difference_K, temperature_K - difference_K):
        rings = scaled_rings(positions, np.sqrt(temperature_K / other_K))
        there, forces = _evaluate(rings, potential)
        log_weights = (energies / temperature_K - there / other_K) / KB_EV_PER_K
        weights = np.exp(log_weights - log_weights.max())
        total = kinetic_virial(rings, forces, other_K).sum(axis=-1) + there - energies.mean()
        columns += [weights, weights * total]
    return statistics.estimate_function(
        np.stack(columns, axis=-1), lambda m: float(m[1] / m[0] - m[3] / m[2]) / (2 * difference_K)
    )


def _bead_average(positions: Array, energies: Energies) -> Array:
    shape = positions.shape
    return np.asarray(energies(positions.reshape(-1, *shape[-2:])).reshape(shape[:-2]).mean(axis=-1))


def _evaluate(positions: Array, potential: EnergiesAndForces) -> tuple[Array, Array]:
    """Bead averages of the energy (T, W) eV, and forces (T, W, P, N, 3) eV/A."""
    shape = positions.shape
    energies, forces = potential(positions.reshape(-1, *shape[-2:]))
    return energies.reshape(shape[:-2]).mean(axis=-1), forces.reshape(shape)
