"""Go on with a run: the same as `run` again."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import BadSetting
from renkei.run_folder import is_run_folder
from renkei.verbs import run as run_verb


def resume(
    source: run_verb.Source,
    ranks: run_verb.Ranks = None,
    duration: run_verb.For = None,
    steps: run_verb.Steps = None,
    changes: run_verb.Set = None,
    quiet: run_verb.Quiet = False,
) -> None:
    """Go on with the run in a run folder: the same as `renkei run` again."""
    if not is_run_folder(Path(source)):
        raise BadSetting("is no run folder", str(source), "`renkei run FILE.yaml` begins a run")
    run_verb.run(source, None, ranks, duration, steps, changes, None, quiet=quiet)
