"""The mean of a curve over a long chain in bounded memory: sums over blocks that grow, and errors from them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels import statistics
from kernels.arrays import Array

MOST_BLOCKS = 64  # of each walker; a power of two, halved when full


class CurveEstimate(NamedTuple):
    """A curve with its errors."""

    value: Array  # (K,)
    stderr: Array  # (K,) NaN where there are too few blocks
    ess: float  # effective states: the variance of single states over that of the mean, both summed over the curve


class BlockSums:
    """Sums of (total, weight) of K values by block and walker; value = sum(total) / sum(weight)."""

    def __init__(self, walkers: int, width: int) -> None:
        self._sums = np.zeros((MOST_BLOCKS, 2, walkers, width))
        self._squares = np.zeros((3, width))  # of single states: total^2, total * weight, weight^2
        self._length, self._states, self._importance = 1, 0, 0.0

    def add(self, total: Array, weight: Array, importance: Array | None = None) -> None:
        """Further states of all walkers, (S, W, K) each, in their order; importance: (S, W), how much each state counts."""
        share = np.ones(total.shape[:2]) if importance is None else importance
        for one, other in zip(total * share[..., None], weight * share[..., None], strict=True):
            if self._states == MOST_BLOCKS * self._length:
                self._sums[: MOST_BLOCKS // 2] = self._sums[::2] + self._sums[1::2]
                self._sums[MOST_BLOCKS // 2 :] = 0.0
                self._length *= 2
            self._sums[self._states // self._length] += (one, other)
            self._states += 1
        products = (total * total, total * weight, weight * weight)
        self._squares += [np.einsum("sw,swk->k", share, product) for product in products]
        self._importance += float(share.sum())

    def estimate(self) -> CurveEstimate:
        """The mean of all states; errors from whole blocks, of the length among L, 2L, 4L ... that shows the largest ones."""
        total, weight = self._sums.sum(axis=(0, 2))
        with np.errstate(invalid="ignore", divide="ignore"):
            value = total / weight
            square, product, other = self._squares
            single = (square - 2 * value * product + value**2 * other) / weight**2 * self._importance
        errors = [self._variance(value, merged) for merged in self._levels()]
        if not errors:
            return CurveEstimate(value, np.full_like(value, np.nan), np.nan)
        variance = max(errors, key=np.nansum)
        known = np.isfinite(single) & np.isfinite(variance)
        mean = float(variance[known].sum())
        ess = float(single[known].sum()) / mean if mean > 0 else float(self._states * self._sums.shape[2])
        return CurveEstimate(value, np.sqrt(variance), ess)

    def _levels(self) -> list[int]:
        """How many blocks may be merged to one, so that enough remain to tell an error."""
        whole = self._states // self._length
        return [m for m in (1, 2, 4, 8) if (whole // m) * self._sums.shape[2] >= statistics.FEWEST_BLOCKS and whole // m > 1]

    def _variance(self, value: Array, merged: int) -> Array:
        """Variance of the ratio from its residuals total - value * weight, block by block; (K,)."""
        count = (self._states // self._length) // merged
        blocks = self._sums[: count * merged].reshape(count, merged, *self._sums.shape[1:]).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            residual = blocks[:, 0] - value * blocks[:, 1]  # (count, W, K)
            residual = residual - residual.mean(axis=(0, 1))
            units = residual.shape[0] * residual.shape[1]
            return np.asarray(units / (units - 1) * (residual**2).sum(axis=(0, 1)) / blocks[:, 1].sum(axis=(0, 1)) ** 2)
