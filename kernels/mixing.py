"""How much of first principles to put into the potential that decides: the yield of a mixture, and its maximum.

V_mix = alpha V_FP + (1 - alpha) V_ML decides, the rest of the residual D = beta (V_FP - V_ML) goes to the weights
(docs/methods.md: mixtures). For a Gaussian D of standard deviation sigma, of which a proposal forgets the share 1 - rho:
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfc

from kernels.arrays import Array

GRID = 1001  # values of alpha that are compared


def mix_acceptance(alpha: Array | float, sigma: float, rho: float = 0.0) -> Array:
    """Expected acceptance erfc(alpha sigma sqrt(1 - rho) / 2); no units.  alpha: any shape, from 0 to 1."""
    return np.asarray(erfc(0.5 * np.asarray(alpha) * sigma * np.sqrt(1 - rho)))


def weight_efficiency(alpha: Array | float, sigma: float) -> Array:
    """Kish's effective share of the samples, exp(-(1 - alpha)^2 sigma^2); no units.  alpha: any shape, from 0 to 1."""
    return np.asarray(np.exp(-(((1 - np.asarray(alpha)) * sigma) ** 2)))


def mix_yield(alpha: Array | float, sigma: float, rho: float = 0.0) -> Array:
    """Product of both: independent samples for each trial, up to a constant; no units.  alpha: any shape, from 0 to 1."""
    return mix_acceptance(alpha, sigma, rho) * weight_efficiency(alpha, sigma)


def best_alpha(sigma: float, rho: float = 0.0) -> float:
    """The alpha between 0 and 1 with the largest yield, to 0.001."""
    grid = np.linspace(0.0, 1.0, GRID)
    return float(grid[np.argmax(mix_yield(grid, sigma, rho))])
