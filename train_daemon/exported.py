"""Which weights leave a fit: those it ends with, their moving average, or the best that the validation side has seen."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

WARM_UP = 10  # the average forgets its start: its decay after t steps is at most t / (t + WARM_UP)


class Exported:
    """Follows the parameters of one fit."""

    def __init__(self, flat: torch.Tensor, ema: float) -> None:
        """flat: (P,) the parameters in training.  ema: decay of their moving average, 0 for none."""
        self.flat, self.ema, self.steps = flat.detach(), ema, 0
        self.average = self.flat.clone() if ema else self.flat
        self.best: torch.Tensor | None = None
        self.best_loss, self.stale = math.inf, 0

    def stepped(self) -> None:
        """The parameters have made a step."""
        if self.ema:
            self.steps += 1
            self.average.lerp_(self.flat, 1 - min(self.ema, self.steps / (self.steps + WARM_UP)))

    def look(self, judge: Callable[[], float]) -> float:
        """Validation loss of what would leave now, judged with it in the parameters' place; remembers the best."""
        training = self.flat.clone()
        self.flat.copy_(self.average)
        loss = judge()
        self.stale += 1
        if loss < self.best_loss:
            self.best, self.best_loss, self.stale = self.flat.clone(), loss, 0
        self.flat.copy_(training)
        return loss

    def weights(self) -> torch.Tensor:
        """What would leave now.  Returns (P,)."""
        return self.average if self.best is None else self.best

    def leave(self) -> None:
        """Put it into the parameters' place."""
        self.flat.copy_(self.weights())
