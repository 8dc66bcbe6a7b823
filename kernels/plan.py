"""A descriptor as compiled loops see it, and the fixed linear map from resolved moments to its features."""

from __future__ import annotations

from typing import NamedTuple

from kernels.arrays import Array
from kernels.jit import kernel


class Plan(NamedTuple):
    """A descriptor as plain arrays and numbers."""

    species: int
    radial_cutoff: float  # A
    angular_cutoff: float  # A
    radial_terms: int
    angular_terms: int
    powers: Array  # (powers,) int
    radial_mix: Array  # (channels, species)
    angular_mix: Array  # (channels, pairs)
    radial_place: Array  # (channels,) int, column of a channel's first feature
    angular_place: Array  # (powers, channels) int
    length: int
    splines: bool  # cubic B-splines instead of Chebyshev polynomials


@kernel
def mix(plan: Plan, moments: Array, features: Array) -> None:
    """Add the features that the descriptor makes of resolved moments.  features: (F,)."""
    for channel in range(plan.radial_mix.shape[0]):
        for s in range(plan.species):
            weight, begin = plan.radial_mix[channel, s], s * plan.radial_terms
            if weight != 0:
                for m in range(plan.radial_terms):
                    features[plan.radial_place[channel] + m] += weight * moments[begin + m]
    channels, pairs = plan.angular_mix.shape
    for power in range(plan.powers.size):
        for channel in range(channels):
            for species_pair in range(pairs):
                weight = plan.angular_mix[channel, species_pair]
                begin = plan.species * plan.radial_terms + (power * pairs + species_pair) * plan.angular_terms
                if weight != 0:
                    for m in range(plan.angular_terms):
                        features[plan.angular_place[power, channel] + m] += weight * moments[begin + m]


@kernel
def unmix(plan: Plan, gradient: Array, moments: Array) -> None:
    """The transpose: derivative with respect to the moments from that with respect to the features.  gradient: (F,)."""
    moments[:] = 0.0
    for channel in range(plan.radial_mix.shape[0]):
        for s in range(plan.species):
            weight, begin = plan.radial_mix[channel, s], s * plan.radial_terms
            if weight != 0:
                for m in range(plan.radial_terms):
                    moments[begin + m] += weight * gradient[plan.radial_place[channel] + m]
    channels, pairs = plan.angular_mix.shape
    for power in range(plan.powers.size):
        for channel in range(channels):
            for species_pair in range(pairs):
                weight = plan.angular_mix[channel, species_pair]
                begin = plan.species * plan.radial_terms + (power * pairs + species_pair) * plan.angular_terms
                if weight != 0:
                    for m in range(plan.angular_terms):
                        moments[begin + m] += weight * gradient[plan.angular_place[power, channel] + m]
