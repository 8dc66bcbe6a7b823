"""When to train and how long: from the new labels, the time they have waited, and what the gate said last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

FIRST_STEPS, LATER_STEPS = 2500, 4000  # optimiser steps of `auto`
FEWEST_EPOCHS = 3  # of `auto`
FEWEST_LABELS = 30  # for a first model, once max_wait_s has passed
LONGEST = 4  # a refused fit is followed by longer ones, up to so many times LATER_STEPS
PATIENCE = 4  # refusals in a row without a new label, after which training on old data ends

Why = Literal["first", "labels", "waited", "idle"]


@dataclass(frozen=True)
class Rules:
    """The keys of `coupling` that concern the trainer."""

    labels_per_retrain: int
    max_wait_s: float
    epochs_per_retrain: int | Literal["auto"]
    keep_training_when_idle: bool


@dataclass(frozen=True)
class Schedule:
    """What the decision depends on; times are of a monotonic clock, in seconds."""

    trained_on: int = 0  # training labels at the last complete fit
    fits: int = 0
    refusals: int = 0  # in a row
    waiting_since: float | None = None  # when the first label came that no fit has seen

    def arrived(self, labels: int, now: float) -> Schedule:
        """Batches have come; `labels` is the size of the training side."""
        new = labels > self.trained_on and self.waiting_since is None
        return replace(self, waiting_since=now) if new else self

    def due(self, labels: int, rules: Rules, now: float) -> Why | None:
        """Why to train now, if so."""
        new = labels - self.trained_on
        waited = self.waiting_since is not None and now - self.waiting_since >= rules.max_wait_s
        if self.fits == 0:
            return "first" if new >= rules.labels_per_retrain or (waited and new >= FEWEST_LABELS) else None
        if new >= rules.labels_per_retrain:
            return "labels"
        if new > 0 and waited:
            return "waited"
        return "idle" if rules.keep_training_when_idle and self.refusals < PATIENCE else None

    def length(self, rules: Rules) -> tuple[int, int]:
        """Optimiser steps and epochs that the next fit has at least."""
        if rules.epochs_per_retrain != "auto":
            return 1, rules.epochs_per_retrain
        if self.fits == 0:
            return FIRST_STEPS, FEWEST_EPOCHS
        return LATER_STEPS * min(LONGEST, 2**self.refusals), FEWEST_EPOCHS

    def fitted(self, labels: int, published: bool) -> Schedule:
        """A fit on `labels` training labels is complete and judged."""
        news = labels > self.trained_on
        return Schedule(labels, self.fits + 1, 0 if published else 1 if news else self.refusals + 1)

    def dump(self) -> dict[str, Any]:
        """For the checkpoint; times do not outlive a process."""
        return {"trained_on": self.trained_on, "fits": self.fits, "refusals": self.refusals}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Schedule:
        """The inverse of dump."""
        return cls(int(state["trained_on"]), int(state["fits"]), int(state["refusals"]))
