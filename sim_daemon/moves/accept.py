"""Accept or reject in log space."""

from __future__ import annotations

import math

import numpy as np


def accept(log_ratio: float, generator: np.random.Generator) -> bool:
    """Metropolis decision for ln of the acceptance ratio; NaN is a rejection, never a crash.

    The number is drawn always, so that the random stream does not depend on luck.
    """
    uniform = generator.random()
    return not math.isnan(log_ratio) and math.log1p(-uniform) < log_ratio
