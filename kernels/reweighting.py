"""Averages over weighted samples, in log space, and whether the weights can carry them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import entr, logsumexp

from kernels.arrays import Array
from kernels.statistics import Estimate, estimate_function, kish, pareto_k

FEWEST_WEIGHTED = 50.0  # Kish's effective number of samples, below which no weighted mean is quoted
LARGEST_PARETO_K = 0.7  # above it the largest weights decide, however many samples there are


class WeightHealth(NamedTuple):
    """What weights leave of n samples. Blind to correlation in time, and to what no sample has visited."""

    samples: int
    kish: float  # (sum w)^2 / sum w^2
    perplexity: float  # exp of the entropy of the normalised weights
    largest: float  # normalised weight
    pareto_k: float  # shape of the tail

    @property
    def refusal(self) -> str:
        """Why no weighted mean is to be quoted; "" where it may be."""
        if not self.kish >= FEWEST_WEIGHTED:
            return f"n_eff of the weights is {self.kish:.0f}, at least {FEWEST_WEIGHTED:.0f} wanted"
        if not self.pareto_k <= LARGEST_PARETO_K:
            return f"the weights' tail has k-hat {self.pareto_k:.2f}, at most {LARGEST_PARETO_K:g} wanted"
        return ""

    @property
    def told(self) -> str:
        """The numbers in words."""
        numbers = f"n_eff {self.kish:.0f} of {self.samples}, perplexity {self.perplexity:.0f}"
        return f"{numbers}, largest weight {self.largest:.3f}, k-hat {self.pareto_k:.2f}"


def weight_health(log_weights: Array) -> WeightHealth:
    """The health of log-weights (n,) or (T, W), all finite, no unit; a common constant plays no part."""
    flat = np.asarray(log_weights, dtype=np.float64).ravel()
    effective, largest = kish(flat)
    entropy = float(entr(np.exp(flat - logsumexp(flat))).sum())
    return WeightHealth(flat.size, effective, math.exp(entropy), largest, pareto_k(flat))


def reweighted(series: Array, log_weights: Array) -> Estimate:
    """sum w x / sum w with the error of a ratio of two series (block jackknife); its bias of order 1/n is far below the error.

    The effective sample size is the weighted variance over the squared error: it counts the weights' loss and the
    correlation.  series: (T, W), any unit.  log_weights: (T, W), all finite; a common constant plays no part.
    """
    weights = np.exp(log_weights - np.max(log_weights))
    mean = float(np.average(series, weights=weights))  # a large total would leave few digits to its fluctuations
    away = series - mean
    found = estimate_function(np.stack([weights, weights * away], axis=-1), lambda m: mean + float(m[1] / m[0]))
    variance = float(np.average(away**2, weights=weights))
    return found._replace(mean=mean, ess=variance / found.stderr**2 if found.stderr > 0 else found.ess)
