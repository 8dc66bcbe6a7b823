"""Contract of a learner.

To add one: a file here with `Settings` (frozen pydantic) and `build(settings, context) -> Learner`, and
tests/train_daemon/learners/test_NAME.py. The head of the file imports nothing heavy. A learner exports files
in a format that kernels/potentials can evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from train_daemon.dataset import TrainingSet

Model = Any  # opaque to the daemon


@dataclass(frozen=True)
class LearnerContext:
    """What the machine and the run say to a learner."""

    device: str  # auto, cpu, cuda or cuda:N
    threads: int  # of the CPU
    seed: int
    scratch: Path | None = None  # a local folder for what does not fit into memory; None: that of temporary files
    group: Any = None  # train_daemon.group.Group of the processes that share a fit; None: this one alone


@dataclass(frozen=True)
class Budget:
    """How long one fit may take; `should_stop` is asked after every optimiser step."""

    steps: int  # optimiser steps at least, and
    epochs: int  # passes over the training side at least
    should_stop: Callable[[], bool]
    on_epoch: Callable[[Mapping[str, float]], None]  # a row per epoch: losses, RMSE, learning rate, samples, seconds
    on_progress: Callable[[Callable[[], Model]], None] = lambda snapshot: None  # now and then: how to get the model as it is


@dataclass(frozen=True)
class FitReport:
    """What one fit did."""

    steps: int
    epochs: int
    errors: Mapping[str, float]  # on the training side, unit in the name


@dataclass(frozen=True)
class Export:
    """Facts for the card; the daemon writes the card."""

    format: str
    species: tuple[int, ...]
    cutoff_A: float
    architecture: Mapping[str, Any]


class Learner(Protocol):
    """Learns a model from a training set and exports it."""

    device: str  # where it trains
    device_reason: str  # and why there

    def start(self, data: TrainingSet) -> Model:
        """A first model, its normalisation and reference energies fixed from `data`."""
        ...

    def fit(self, model: Model, data: TrainingSet, budget: Budget) -> tuple[Model, FitReport]:
        """Warm-started training; leaves `model` as it was."""
        ...

    def dump(self, model: Model) -> bytes:
        """The model for our own checkpoint (HDF5 bytes)."""
        ...

    def restore(self, blob: bytes) -> Model:
        """The inverse of dump."""
        ...

    def export(self, model: Model, folder: Path) -> Export:
        """Write the artefact's files into an existing empty folder."""
        ...


def load(name: str) -> ModuleType:
    """The plug-in `train_daemon/learners/NAME.py`, or a stranger's dotted module."""
    return import_module(name if "." in name else f"train_daemon.learners.{name}")
