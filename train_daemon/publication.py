"""From a fitted model to a published generation: export, judge what was exported, write the card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kernels.potentials.base import Potential, load
from protocol import atomic, names
from protocol.errors import LearnFailed
from protocol.records import Canary, Card, Packet
from protocol.store import Epoch, Store
from train_daemon import gate
from train_daemon.dataset import Dataset
from train_daemon.learners.base import Export, Learner, Model


@dataclass(frozen=True)
class Published:
    """A generation of ours that simulators can use."""

    generation: int
    digest: str
    format: str
    folder: Path | None  # None: its files are gone; it still is the parent of the next one

    def dump(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"generation": self.generation, "digest": self.digest, "format": self.format}


def recall(state: Mapping[str, Any], store: Store) -> Published:
    """The last generation of an earlier epoch."""
    packet = store.find(names.TRAIN, state["digest"])
    return Published(int(state["generation"]), str(state["digest"]), str(state["format"]), packet.path if packet else None)


@dataclass
class Press:
    """Exports, judges and publishes."""

    learner: Learner
    dataset: Dataset
    epoch: Epoch
    temperature: Callable[[str], float]  # K, of a simulator
    previous: Published | None = None
    parents: tuple[str, ...] = ()  # of the last one published here

    def submit(self, model: Model, training_errors: Mapping[str, float]) -> tuple[gate.Verdict, Packet | None]:
        """Judge a model by its exported files, and publish them if they are better; the packet is None where they are not.

        training_errors: of its fit, by name, for the card. Raises LearnFailed where a model that passed has no canary.
        """
        generation = self.next_generation
        with TemporaryDirectory(prefix="renkei-") as name:
            folder = Path(name)
            export = self.learner.export(model, folder)
            potential = load(export.format, folder, generation)
            verdict = self._judge(potential)
            if not verdict.publish:
                return verdict, None
            samples = self.dataset.training_set().samples
            try:
                canary = gate.canary(potential, samples)
            except ValueError as error:
                raise LearnFailed(str(error), f"generation {generation}") from error
            metrics = _metrics(verdict, training_errors)

            def write(target: Path) -> Card:
                for path in folder.iterdir():
                    atomic.copy_tree(path, target / path.name)
                return self._card(export, generation, metrics, canary)

            packet = self.epoch.publish_weights(generation, write, {"format": export.format, **metrics})
        self.parents = self._parents()
        self.previous = Published(generation, packet.digest, export.format, packet.path)
        return verdict, packet

    @property
    def next_generation(self) -> int:
        """Number of the next generation; one that an abandoned start has used is not given again."""
        return max(self.epoch.next_number, 0 if self.previous is None else self.previous.generation + 1)

    def _parents(self) -> tuple[str, ...]:
        """The model that the next one was warm-started from."""
        return () if self.previous is None else (self.previous.digest,)

    def _judge(self, potential: Potential) -> gate.Verdict:
        """The gate's verdict on held-out rings, the same for the new model and the last one."""
        rings = self.dataset.heldout()
        new = gate.score(potential, rings, self.temperature)
        old = None
        if self.previous is not None and self.previous.folder is not None:
            last = load(self.previous.format, self.previous.folder, self.previous.generation)
            old = gate.score(last, rings, self.temperature)
        return gate.judge(new, old)

    def _card(self, export: Export, generation: int, metrics: Mapping[str, Any], canary: Canary) -> Card:
        identity = self.dataset.identity
        assert identity is not None
        return Card(
            format=export.format,
            generation=generation,
            species=export.species,
            cutoff_A=export.cutoff_A,
            charge=identity.charge,
            multiplicity=identity.multiplicity,
            fingerprint=identity.fingerprint,
            architecture=export.architecture,
            metrics=metrics,
            parents=self._parents(),
            batches=self.dataset.names,
            files={},
            canary=canary,
        )


def _metrics(verdict: gate.Verdict, training_errors: Mapping[str, float]) -> dict[str, float | int | str | bool]:
    """For the card and the trigger."""
    metrics: dict[str, float | int | str | bool] = {f"training_{name}": value for name, value in training_errors.items()}
    metrics |= {"judged": verdict.reason}
    if verdict.new is not None:
        metrics |= {f"heldout_{name}": value for name, value in verdict.new.facts.items()}
    return metrics
