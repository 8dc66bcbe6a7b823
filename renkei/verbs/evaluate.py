"""Errors of a potential on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    source: Annotated[Path, typer.Argument(metavar="POTENTIAL", help="potential, result of `train`, or run (newest generation)")],
    data: Annotated[list[Path], typer.Argument(metavar="DATA...", help="extended xyz (also .gz), batches (.h5), run folders")],
    out: Annotated[Path | None, typer.Option(metavar="FILE.extxyz", help="write the predictions beside the labels")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Compare a potential with labels: energies, forces and stresses, nothing fitted to the data but what says so."""
    from protocol import jsontext
    from renkei import artefact
    from renkei.labels import checks as data_checks
    from renkei.labels import frames as labelled
    from renkei.labels import parity
    from renkei.labels import xyz as predicted_xyz
    from renkei.labels.error_screen import show

    found = artefact.find(source)
    if out is not None:
        predicted_xyz.check_target(out)
    frames = labelled.read(data)
    if found.card.species:
        data_checks.require_species(frames, found.card.species, "the potential")
    predictions = parity.predict(found.potential, frames)
    errors = parity.errors(frames, predictions)
    if out is not None:
        predicted_xyz.write(out, frames, predictions)
    if as_json:
        facts = {"potential": str(found.folder), "generation": found.card.generation, "data": [str(path) for path in data]}
        print(jsontext.dumps({**facts, **errors}, indent=1).decode())
        return
    show({", ".join(path.name for path in data): errors}, detailed=True)
    if out is not None:
        print(f"predictions: {out}")
