"""The two-level mean of a curve in bounded memory: sums over blocks of the run, and the delete-one-block jackknife of them."""

from __future__ import annotations

import math

import numpy as np

from kernels.arrays import Array
from renkei.analysis.block_sums import CurveEstimate

BLOCKS = 16  # of each walker


class LevelSums:
    """Sums of (total, weight) of K values by block and walker; value = first + weighted second - plain second, ratios of sums."""

    def __init__(self, steps: int, walkers: int, width: int) -> None:
        """steps: of the whole run."""
        self._length = math.ceil(steps / BLOCKS)
        self._sums = np.zeros((BLOCKS, walkers, 3, 2, width))  # first level, second level, second level with weights
        self._squares = np.zeros((3, width))  # of single weighted rings: total^2, total * weight, weight^2
        self._importance, self._rings = 0.0, 0

    def add(self, place: Array, total: Array, weight: Array) -> None:
        """Samples of the surrogate; place: (S,) of the run's steps from 0.  total, weight: (S, W, K)."""
        np.add.at(self._sums[:, :, 0], place // self._length, np.stack([total, weight], axis=2))

    def add_labelled(self, place: Array, surrogate: tuple[Array, Array], target: tuple[Array, Array], share: Array) -> None:
        """Labelled rings, (S, W, K) twice by the surrogate and by the target; share: (S, W), their weights."""
        block = place // self._length
        np.add.at(self._sums[:, :, 1], block, np.stack(surrogate, axis=2))
        total, weight = target
        np.add.at(self._sums[:, :, 2], block, np.stack(target, axis=2) * share[..., None, None])
        products = (total * total, total * weight, weight * weight)
        self._squares += [np.einsum("sw,swk->k", share, product) for product in products]
        self._importance += float(share.sum())
        self._rings += share.size

    def estimate(self) -> CurveEstimate:
        """The curve; ess: the variance of single weighted rings over that of the mean, both summed over the curve."""
        blocks = self._sums.reshape(-1, *self._sums.shape[2:])
        total = blocks.sum(axis=0)
        value, count = _value(total), len(blocks)
        without = np.array([_value(total - block) for block in blocks])
        variance = (count - 1) / count * ((without - without.mean(axis=0)) ** 2).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            square, product, other = self._squares
            mean, norm = total[2, 0] / total[2, 1], total[2, 1]
            single = (square - 2 * mean * product + mean**2 * other) / norm**2 * self._importance
        known = np.isfinite(single) & np.isfinite(variance)
        noise = float(variance[known].sum())
        return CurveEstimate(value, np.sqrt(variance), float(single[known].sum()) / noise if noise > 0 else float(self._rings))


def _value(sums: Array) -> Array:
    """(3, 2, K) -> (K,); NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second, weighted = sums[:, 0] / sums[:, 1]
    return np.asarray(first + weighted - second)
