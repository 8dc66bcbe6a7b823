"""P beads against 2P: rings with a bead put between each two neighbours, as the free particle does, and reweighted.

The free ring of 2P beads, looked at in every second one, is that of P beads, so new beads can be drawn from their exact law, and
what is left of the ratio of the two densities is the potential: w = exp(-beta/2 (V of the new beads - V of the old ones)), V mean
over beads (docs/methods.md). They are drawn a little down the forces, and the weights know it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kernels import statistics
from kernels.arrays import Array
from kernels.reweighting import WeightHealth, weight_health
from kernels.statistics import Estimate
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K
from renkei.analysis.path_integral import by_element, kinetic_virial, radii_of_gyration

LEFT = 4 / 3  # of the difference of P and 2P is what P lacks: errors go as 1/P^2
SURE = 2.0  # standard errors within which a bound is not decided


class Rings(NamedTuple):
    """Rings of P beads and what a potential says of them; 2P beads have the P old ones at even places."""

    positions: Array  # (T, W, P, N, 3) A
    energies: Array  # (T, W, P) eV
    forces: Array  # (T, W, P, N, 3) eV/A


class Compared(NamedTuple):
    """A mean at P and at 2P beads."""

    fewer: Estimate
    more: Estimate
    difference: Estimate  # 2P - P

    @property
    def lacking(self) -> tuple[float, float]:
        """What P lacks of the limit, as a share of the mean at 2P, and its standard error."""
        scale = LEFT / abs(self.more.mean) if self.more.mean else math.nan
        return abs(self.difference.mean) * scale, self.difference.stderr * scale


class Doubling(NamedTuple):
    """All that was compared."""

    means: Mapping[str, Compared]  # unit at the end of the name
    health: WeightHealth

    def decision(self, tolerance: float) -> tuple[bool | None, str]:
        """Whether P suffices: what every kinetic energy lacks is below the tolerance; None where the errors do not say.

        Returns the name of the kinetic energy that lacks most, too.
        """
        lacking = {name: one.lacking for name, one in self.means.items() if name.startswith("kinetic_")}
        worst = max(lacking, key=lambda name: lacking[name][0])
        if self.health.refusal:
            return None, worst
        if any(share - SURE * error > tolerance for share, error in lacking.values()):
            return False, worst
        return (True if all(share + SURE * error <= tolerance for share, error in lacking.values()) else None), worst


class NewBeads(NamedTuple):
    """Beads between each bead and the next one."""

    positions: Array  # (..., P, N, 3) A
    log_ratio: Array  # (...) ln of the free particle's density over that of which they are drawn


def new_beads(
    positions: Array, forces: Array, masses_amu: Array, temperature_K: float, generator: np.random.Generator
) -> NewBeads:
    """From the free particle's bridge, moved along the mean force of its two ends as the potential would to first order.

    positions: (..., P, N, 3) A.  forces: the same shape, eV/A.  masses_amu: (N,).  The bridge is about the middle of two beads,
    with the variance s = beta hbar^2 / (4 m P) of a component; the potential of 2P beads pulls it by s beta F / 2P.
    """
    thermal, count = KB_EV_PER_K * temperature_K, positions.shape[-3]
    variance = (HBAR_EV_FS**2 / (4 * thermal * count * masses_amu * AMU_EV_FS2_PER_A2))[:, None]
    middle, force = (0.5 * (ends + np.roll(ends, -1, axis=-3)) for ends in (positions, forces))
    shift = variance * force / (2 * count * thermal)
    noise = np.sqrt(variance) * generator.standard_normal(positions.shape)
    log_ratio = -((2 * noise + shift) * shift / (2 * variance)).sum(axis=(-1, -2, -3))
    return NewBeads(middle + shift + noise, np.asarray(log_ratio))


def interleaved(old: Array, new: Array) -> Array:
    """(T, W, P, ...) twice -> (T, W, 2P, ...), each new one behind its old one."""
    both = np.stack([old, new], axis=3)
    return both.reshape(*old.shape[:2], 2 * old.shape[2], *old.shape[3:])


def compare(
    old: Rings, new: Rings, log_ratio: Array, numbers: Array, temperature_K: float, log_weights: Array | None = None
) -> Doubling:
    """Energies, kinetic energies by element (virial) and radii of gyration at P and 2P beads.

    old: rings of P beads, of the ensemble of P beads.  new, log_ratio (T, W): `new_beads` of them.  numbers: (N,).  log_weights:
    (T, W) of the old rings, None where they weigh the same.  Energies and forces: of one potential, +infinity where it has none.
    """
    beta = 1 / (KB_EV_PER_K * temperature_K)
    before = np.zeros(old.energies.shape[:2]) if log_weights is None else log_weights - log_weights.max()
    after = before + log_ratio - 0.5 * beta * (new.energies.mean(axis=-1) - old.energies.mean(axis=-1))
    sound = np.isfinite(after)
    after = np.where(sound, after - after[sound].max(), -np.inf)
    whole = Rings(*(interleaved(a, b) for a, b in zip(old, new, strict=True)))
    fewer, more = (_observed(rings, numbers, temperature_K) for rings in (old, whole))
    weights = np.exp(before), np.exp(after)
    means = {name: _compared(fewer[name], np.where(sound, more[name], 0.0), *weights) for name in fewer}
    return Doubling(means, weight_health(np.where(sound, after, after[sound].min() - 700)))


def _observed(rings: Rings, numbers: Array, temperature_K: float) -> dict[str, Array]:
    atoms = kinetic_virial(rings.positions, rings.forces, temperature_K)
    found = {f"kinetic_energy_{symbol}_eV": series for symbol, series in by_element(atoms, numbers).items()}
    found["energy_virial_eV"] = atoms.sum(axis=-1) + rings.energies.mean(axis=-1)
    radii = radii_of_gyration(rings.positions, numbers)
    return found | {f"radius_of_gyration_{symbol}_A": series for symbol, series in radii.items()}


def _compared(fewer: Array, more: Array, before: Array, after: Array) -> Compared:
    shift = float(fewer.mean())  # a large total would leave few digits to its fluctuations
    columns = np.stack([before, before * (fewer - shift), after, np.where(after > 0, after * (more - shift), 0.0)], axis=-1)
    return Compared(
        statistics.estimate_function(columns, lambda m: shift + float(m[1] / m[0])),
        statistics.estimate_function(columns, lambda m: shift + float(m[3] / m[2])),
        statistics.estimate_function(columns, lambda m: float(m[3] / m[2] - m[1] / m[0])),
    )
