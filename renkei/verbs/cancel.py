"""Cancel the batch jobs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from renkei import submission
from renkei.run_folder import demand


def cancel(run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")]) -> None:
    """Cancel all jobs of a run that wait or run; what they have saved stays, and `renkei submit` goes on from there."""
    demand(run)
    count = submission.cancel(run, print)
    print(f"{count} job(s) cancelled; `renkei submit {run}` goes on" if count else "no job waits or runs")
