"""Other masses from the same states: rings scaled about their centroids, then reweighted (docs/methods.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.reweighting import WeightHealth, weight_health
from kernels.statistics import Estimate
from kernels.units import KB_EV_PER_K
from renkei.analysis.path_integral import centroids

FORBIDDEN = -700.0  # ln of the weight, next to the least one, that stands for none where health is judged


@dataclass(frozen=True)
class MassChange:
    """What other masses do to the free energy of P beads."""

    excess: Estimate  # eV; of F(m') - F(m), what is beyond classical nuclei
    classical_eV: float  # of classical nuclei: -3/2 kT sum ln(m'/m)
    temperature_K: float
    health: WeightHealth  # of the states in the ensemble of the other masses

    @property
    def total(self) -> Estimate:
        """F(m') - F(m), eV."""
        return self.excess._replace(mean=self.classical_eV + self.excess.mean)

    @property
    def log_ratio(self) -> Estimate:
        """ln of the reduced partition function ratio of all changed atoms, no unit: -excess / kT."""
        thermal = KB_EV_PER_K * self.temperature_K
        return self.excess._replace(mean=-self.excess.mean / thermal, stderr=self.excess.stderr / thermal)

    @property
    def refusal(self) -> str:
        """Why it is not to be quoted; "" where it may be."""
        if self.health.refusal:
            return self.health.refusal
        effective = self.excess.effective
        few = f"{effective:.0f} effective samples, at least {statistics.FEWEST_SAMPLES} wanted"
        return "" if effective >= statistics.FEWEST_SAMPLES else few


def scaled_rings(positions: Array, factor: Array | float) -> Array:
    """Rings whose beads are `factor` times as far from their centroids.

    positions: (..., P, N, 3) A.  factor: one number, or (N,).  Returns (..., P, N, 3) A.
    """
    centre = centroids(positions)[..., None, :, :]
    return np.asarray(centre + np.broadcast_to(factor, positions.shape[-2:-1])[:, None] * (positions - centre))


def rings_of_masses(positions: Array, masses_amu: Array, other_masses_amu: Array) -> Array:
    """r_c + sqrt(m/m') (r - r_c): the springs of the other masses are then what those of the first ones were.

    positions: (..., P, N, 3) A.  masses_amu, other_masses_amu: (N,).  Returns (..., P, N, 3) A.
    """
    return scaled_rings(positions, np.sqrt(np.asarray(masses_amu, dtype=float) / np.asarray(other_masses_amu, dtype=float)))


def isotope_free_energy(
    before: Array,
    after: Array,
    masses_amu: Array,
    other_masses_amu: Array,
    temperature_K: float,
    log_weights: Array | None = None,
) -> MassChange:
    """Free energy F(m') - F(m) from states sampled with the masses m, and its part beyond classical nuclei.

    Z(m')/Z(m) = prod (m'/m)^{3/2} <exp(-beta [V(r') - V(r)])>, V the mean over beads, r' = `rings_of_masses`.
    before, after: (T, W) eV, V(r), finite, and V(r'), finite or +infinity, somewhere finite.  masses_amu, other_masses_amu: (N,).
    log_weights: (T, W) of the states in the ensemble of the masses m, no unit, None where they weigh the same.
    """
    thermal = KB_EV_PER_K * temperature_K
    ratio = np.asarray(other_masses_amu, dtype=float) / np.asarray(masses_amu, dtype=float)
    classical = -1.5 * thermal * float(np.log(ratio).sum())
    here = np.zeros(before.shape) if log_weights is None else log_weights - log_weights.max()
    there = here - (after - before) / thermal
    sound = np.isfinite(there)
    most = float(there[sound].max())  # out of the exponential
    there = np.where(sound, there - most, -np.inf)
    tiny = np.finfo(float).tiny  # under a weight that is all, blocks without it leave nothing

    def of_means(m: Array) -> float:
        return -thermal * (most + math.log(max(m[1], tiny)) - math.log(max(m[0], tiny)))

    found = statistics.estimate_function(np.stack([np.exp(here), np.exp(there)], axis=-1), of_means)
    judged = weight_health(np.where(sound, there, there[sound].min() + FORBIDDEN))
    own = weight_health(here)
    return MassChange(found, classical, temperature_K, own if own.refusal and not judged.refusal else judged)
