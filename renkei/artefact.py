"""Potentials on disk: which folder a person means, and a new artefact from a model that was trained alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from kernels.potentials import base as potentials
from kernels.potentials.base import Potential
from protocol import atomic, names, weights
from protocol.errors import BadSetting, LearnFailed
from protocol.records import Card
from protocol.store import Store
from renkei.labels.checks import key_of
from renkei.labels.frames import Frame
from train_daemon import gate
from train_daemon.dataset import Sample
from train_daemon.learners.base import Learner, Model

POTENTIAL = "potential"  # folder of the artefact below a result of `renkei train`


class Artefact(NamedTuple):
    """A verified potential."""

    folder: Path
    card: Card
    potential: Potential


def find(source: Path) -> Artefact:
    """The potential of an artefact's folder, of a result of `renkei train`, or the newest generation of a run.

    Raises BadSetting where there is none, Torn where its files are damaged.
    """
    folder = _folder(source)
    card = weights.verify(folder, atomic.sha256(folder / names.CARD))
    try:
        return Artefact(folder, card, potentials.load(card.format, folder, card.generation))
    except ValueError as error:
        raise BadSetting(str(error), str(folder)) from error


def _folder(source: Path) -> Path:
    if not source.is_dir():
        raise BadSetting("no such folder", str(source), "give a folder with a potential, or a run folder")
    for folder in (source, source / POTENTIAL):
        if (folder / names.CARD).is_file():
            return folder
    published = Store(source).packets(names.TRAIN) if (source / names.TRAIN).is_dir() else []
    if published:
        return max(published, key=lambda packet: packet.number).path
    raise BadSetting("there is no potential in it", str(source), "give what `renkei train` made, or a run with a generation")


def write(folder: Path, learner: Learner, model: Model, samples: Sequence[Sample], facts: Mapping[str, Any]) -> Artefact:
    """Export a model into a new folder with its card; appears whole or not at all.

    facts: charge, multiplicity, fingerprint and metrics of the card.  Raises LearnFailed if the model gives no finite numbers.
    """
    draft = atomic.make_temporary_folder(folder)
    try:
        export = learner.export(model, draft)
        try:
            canary = gate.canary(potentials.load(export.format, draft, 0), samples)
        except ValueError as error:
            raise LearnFailed(str(error), str(folder)) from error
        about = (export.format, 0, export.species, export.cutoff_A, facts["charge"], facts["multiplicity"], facts["fingerprint"])
        card = Card(*about, export.architecture, facts["metrics"], (), (), {}, canary)
        weights.write_card(draft, replace(card, files=weights.digests(draft)))
        atomic.publish_folder(draft, folder)
    except BaseException:
        atomic.discard(draft)
        raise
    return find(folder)


def identity(frames: Sequence[Frame]) -> dict[str, Any]:
    """Charge, multiplicity and fingerprint for the card: the engine's where all frames name one, else a digest of the data."""
    told = {frame.fingerprint for frame in frames}
    digest = sha256(b"".join(sorted(key_of(frame) for frame in frames))).hexdigest()[:16]
    fingerprint = next(iter(told)) if len(told) == 1 and "" not in told else f"data-{digest}"
    return {"charge": frames[0].charge, "multiplicity": frames[0].multiplicity, "fingerprint": fingerprint}
