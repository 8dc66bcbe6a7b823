"""The folder of a training: the potential first, then its numbers, then the figures and the page."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from protocol import atomic, jsontext
from protocol.errors import BadSetting
from protocol.settings import Config
from renkei import artefact
from renkei.labels import parity
from renkei.labels.checks import reference_energies
from renkei.labels.frames import Frame
from renkei.labels.parity import Predictions
from renkei.training.fit import Course
from renkei.training.material import Material
from train_daemon.dataset import TrainingSet
from train_daemon.learners.base import Learner

MOST_JUDGED = 2000  # training frames whose errors are told at the end, evenly chosen
NUMBERS = "train.json"
METRICS = ("energy_rmse_meV_per_atom", "force_rmse_eV_per_A", "structures")  # of the card
Judged = dict[str, tuple[tuple[Frame, ...], Predictions]]


def claim(folder: Path) -> None:
    """Make the folder of a result; one that holds something is refused (BadSetting)."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadSetting("is there already", f"--into {folder}", "name a new folder")
    atomic.make_folder(folder)


def save(
    folder: Path,
    config: Config,
    sources: Mapping[str, list[str]],
    material: Material,
    learner: Learner,
    data: TrainingSet,
    course: Course,
) -> dict[str, Any]:
    """Write the potential, train.json, the figures and index.html; returns the content of train.json.

    sources: names of the files of each side.
    """
    kept = [row for row in course.validations if row["step"] == course.best_step]
    metrics = {f"heldout_{key}": kept[0][key] for key in METRICS} if kept else {}
    facts = artefact.identity(material.training) | {"metrics": metrics}
    made = artefact.write(folder / artefact.POTENTIAL, learner, course.best, data.samples, facts)
    judged = _judged(material, made)
    found = _numbers(config, sources, material, learner, course)
    found["errors"] = {name: parity.errors(frames, said) for name, (frames, said) in judged.items()}
    found = jsontext.plain(found)
    atomic.replace_bytes(folder / NUMBERS, jsontext.dumps(found, indent=1))
    _draw(folder, found, judged, reference_energies(material.training))
    return found


def _judged(material: Material, made: artefact.Artefact) -> Judged:
    """What the potential on disk says of every side."""
    step = max(1, -(-len(material.training) // MOST_JUDGED))
    sides = material.sides | {"training": material.training[::step]}
    return {name: (frames, parity.predict(made.potential, frames)) for name, frames in sides.items()}


def _numbers(
    config: Config, sources: Mapping[str, list[str]], material: Material, learner: Learner, course: Course
) -> dict[str, Any]:
    return {
        "reason": course.reason,
        "steps": course.steps,
        "best": {"step": course.best_step, "of": "validation" if course.validations else "the last step"},
        "frames": {name: len(frames) for name, frames in material.sides.items()},
        "species": [chemical_symbols[z] for z in material.species],
        "warnings": material.warnings,
        "data": sources,
        "learner": config.science.learner.model_dump(),
        "seed": config.science.seed,
        "device": learner.device,
        "device_reason": learner.device_reason,
        "seconds": course.seconds,
        "memory_peak_MiB": memory_peak_MiB(),
        "rows": course.rows,
        "validations": course.validations,
    }


def memory_peak_MiB() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _draw(folder: Path, found: Mapping[str, Any], judged: Judged, references: Mapping[int, float]) -> None:
    from renkei.training import figures as training_figures
    from renkei.training import page as training_page

    figures = training_figures.draw(found, judged, references)
    for one in figures:
        atomic.replace_bytes(folder / f"{one.name}.png", one.png, durable=False)
    page = training_page.page(folder.resolve().name, found, figures)
    atomic.replace_bytes(folder / "index.html", page.encode(), durable=False)
