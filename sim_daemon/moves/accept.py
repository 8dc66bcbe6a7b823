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


def second_stage(first: float, full: float) -> float:
    """ln of the acceptance ratio of a second stage: what is left of the exact test after a first one (delayed acceptance).

    first: ln of the ratio that the first stage judged, full: ln of the exact ratio.  Product of both stages: exact balance
    (Christen and Fox 2005, for symmetric or reversible proposals; docs/methods.md).
    """
    return full - first
