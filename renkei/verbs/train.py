"""Train a potential on labelled data of any origin, without a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def train(
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="extended xyz (also .gz), batches (.h5), run folders")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="folder of the result, a new one")],
    config: Annotated[Path | None, typer.Option(metavar="FILE.yaml", help="where `learner:` stands; a run.yaml will do")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change one key, e.g. learner.hidden=[40,40]")
    ] = None,
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="frames that choose the best model")] = None,
    share: Annotated[
        float, typer.Option("--validation-share", min=0.0, max=0.5, help="or this share of DATA, in blocks; 0: none")
    ] = 0.1,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="frames that are looked at only at the end")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="optimiser steps")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="passes over the training frames")] = None,
    seconds: Annotated[float | None, typer.Option(min=1.0, help="as many steps as fit into this time")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of the first weights, the order and the validation blocks")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="no progress")] = False,
) -> None:
    """Train on labelled data; writes the potential, train.json, figures and a page. Ctrl-C keeps the best model so far."""
    from protocol.settings import load_trainer
    from renkei.plugins import PLUGINS
    from renkei.training import fit as training
    from renkei.training import material as training_data
    from renkei.training import result as training_result
    from train_daemon.processes import with_learner

    length = training.Length(steps, epochs, seconds)
    extra = [f"seed={seed}"] if seed is not None else []
    extra += [f"trainer.device={device}"] if device is not None else []
    settings = load_trainer(config, {"learner": PLUGINS["learner"]}, [*(changes or []), *extra])
    sides = {"training": data, "validation": [validation] if validation else [], "test": [test] if test else []}
    sources = {name: [str(path) for path in paths] for name, paths in sides.items()}

    def lead(learner: Any) -> int:
        training_result.claim(into)
        material = training_data.gather(data, validation, share, test, settings.science.seed)
        return _work(into, settings, sources, material, learner, length, quiet)

    raise typer.Exit(with_learner(settings.science, settings.machine.trainer, lead))


def _work(into: Path, settings: Any, sources: dict[str, list[str]], material: Any, learner: Any, length: Any, quiet: bool) -> int:
    """Fit, save, tell; returns the exit code."""
    from protocol.shutdown import Shutdown
    from renkei.training import fit as training
    from renkei.training import result as training_result
    from renkei.training.bar import TrainingBar

    species = training.training_set(material.training, material.species)
    bar = TrainingBar(quiet)
    for line in (*material.warnings, _intention(material, learner)):
        bar.say(line)
    shutdown = Shutdown(None, set)
    networks = getattr(settings.science.learner, "committee", 1)
    try:
        course = training.train(learner, species, material.validation, length, shutdown, bar.tick, networks)
    finally:
        bar.close()
        shutdown.restore()
    if not course.steps:
        bar.say("stopped before the first step: nothing is saved")
        return shutdown.exit_code
    found = training_result.save(into, settings, sources, material, learner, species, course)
    _tell(into, found)
    if course.failure is not None:
        raise course.failure
    return shutdown.exit_code


def _intention(material: Any, learner: Any) -> str:
    counts = ", ".join(f"{len(frames)} {name}" for name, frames in material.sides.items())
    atoms = sum(len(frame.forces) for frames in material.sides.values() for frame in frames)
    return f"{counts} frames, {atoms} atoms; on {learner.device} ({learner.device_reason})"


def _tell(into: Path, found: dict[str, Any]) -> None:
    from renkei.labels.error_screen import show
    from renkei.training.page import headline

    print(headline(found))
    show(found["errors"])
    print(f"potential: {into / 'potential'}; page: {into / 'index.html'}")
