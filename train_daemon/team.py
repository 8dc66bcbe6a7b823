"""A learner whose fits are shared by the processes of a group: the first one is asked, all do the same fit."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from protocol.errors import LearnFailed
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.group import Group, serve
from train_daemon.learners.base import Budget, Export, FitReport, Learner, Model


@dataclass(frozen=True)
class Order:
    """One fit, for the others."""

    model: bytes  # of Learner.dump
    new: tuple[Sample, ...]  # that no order before had
    members: tuple[tuple[bytes, float], ...]  # key and weight of each sample of the training set
    species: tuple[int, ...]
    steps: int
    epochs: int


class Team:
    """The learner of the first process; fits as all of them do."""

    def __init__(self, learner: Learner, group: Group) -> None:
        self.learner, self.group = learner, group
        self.device, self.device_reason = learner.device, f"{learner.device_reason}; {group.size} processes"
        self._told: set[bytes] = set()

    def start(self, data: TrainingSet) -> Model:
        """See Learner."""
        return self.learner.start(data)

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """See Learner."""
        new = tuple(sample for sample in data.samples if sample.key not in self._told)
        self._told.update(sample.key for sample in new)
        members = tuple((sample.key, sample.weight) for sample in data.samples)
        self.group.tell(Order(self.learner.dump(model), new, members, data.species, budget.steps, budget.epochs))
        return self.learner.fit(model, data, agreed(budget, self.group))

    def dump(self, model: Model) -> bytes:
        """See Learner."""
        return self.learner.dump(model)

    def restore(self, blob: bytes) -> Model:
        """See Learner."""
        return self.learner.restore(blob)

    def export(self, model: Model, folder: Path) -> Export:
        """See Learner."""
        return self.learner.export(model, folder)

    def dismiss(self) -> None:
        """Let the others go home."""
        self.group.tell(None)


def agreed(budget: Budget, group: Group) -> Budget:
    """The budget by which all processes stop after the same step: that of the first one."""
    return replace(budget, should_stop=lambda: bool(group.lead(lambda: float(budget.should_stop()))))


def assist(learner: Learner, group: Group) -> None:
    """What the other processes do until they are dismissed."""
    known: dict[bytes, Sample] = {}

    def work(order: Order) -> None:
        known.update((sample.key, sample) for sample in order.new)
        data = TrainingSet(_weighted(known, order.members), order.species)
        budget = agreed(Budget(order.steps, order.epochs, lambda: False, lambda row: None), group)
        with suppress(LearnFailed):  # the first process fails as well, and tells
            learner.fit(learner.restore(order.model), data, budget)

    serve(group, work)


def _weighted(known: dict[bytes, Sample], members: Sequence[tuple[bytes, float]]) -> tuple[Sample, ...]:
    return tuple(replace(known[key], weight=weight) for key, weight in members)
