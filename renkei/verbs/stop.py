"""Ask both jobs of a run to finish."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol import names
from protocol.errors import BadSetting
from renkei import prepare
from renkei.plugins import is_run_folder


def stop(run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")]) -> None:
    """Ask both jobs to finish their step, save and end; works from any machine that sees the folder."""
    if not is_run_folder(run):
        raise BadSetting("is no run folder", str(run))
    prepare.put_control(run, names.STOP)
    print(f"asked both jobs of {run} to stop; `renkei run {run}` goes on from there")
