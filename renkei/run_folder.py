"""A run folder as a person names it on the command line."""

from __future__ import annotations

from pathlib import Path

from protocol import names
from protocol.errors import BadSetting


def is_run_folder(path: Path) -> bool:
    """Whether a folder holds a run's configuration."""
    return (path / "run.yaml").is_file()


def demand(path: Path) -> None:
    """Raise BadSetting for what is no run folder."""
    if not is_run_folder(path):
        raise BadSetting("is no run folder", str(path), "name one with a run.yaml, as `renkei init` makes it")


def is_submitted(run: Path) -> bool:
    """Whether jobs of this run were ever submitted to a batch system."""
    return any((run / names.JOBS).glob("submission-*"))


def next_start(run: Path) -> str:
    """The command with which a run goes on."""
    return f"renkei {'submit' if is_submitted(run) else 'run'} {run}"
