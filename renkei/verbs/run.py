"""Run both jobs on this machine, with live progress; the same command again resumes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from protocol import names
from protocol.channels import base as channels
from protocol.duration import duration_s
from protocol.errors import BadSetting
from protocol.settings import load
from renkei import local_pair, prepare
from renkei.plugins import PLUGINS
from renkei.progress import Progress
from renkei.run_folder import is_run_folder

Source = Annotated[Path, typer.Argument(metavar="RUN", help="run folder, or a YAML file")]
Into = Annotated[Path | None, typer.Option(metavar="DIR", help="run folder for a YAML file (else runs/<its name>)")]
Ranks = Annotated[int | None, typer.Option(min=1, help="MPI ranks of the simulator (else machine.yaml's)")]
For = Annotated[str | None, typer.Option("--for", metavar="TIME", help="stop both after this time, e.g. 10min")]
Steps = Annotated[int | None, typer.Option(min=1, help="stop after so many more Markov steps")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change one key, e.g. sampler.beads=8")]
Replay = Annotated[Path | None, typer.Option(metavar="OTHER_RUN", help="repeat the schedule of another run, bit for bit")]
Name = Annotated[str, typer.Option(metavar="NAME", help="this simulator alone (or `train`), beside what runs already")]
Quiet = Annotated[bool, typer.Option("--quiet", help="no progress")]


def run(
    source: Source,
    into: Into = None,
    ranks: Ranks = None,
    duration: For = None,
    steps: Steps = None,
    changes: Set = None,
    replay: Replay = None,
    name: Name = "",
    quiet: Quiet = False,
) -> None:
    """Run the simulators and the trainer of a run folder (or YAML file) on this machine; the same command again resumes.

    No trainer is started where no sampler would use its weights.  --name starts one job beside the others, and ends it alone.
    """
    if duration is not None:
        duration_s(duration)
    if replay is not None and not is_run_folder(replay):
        raise BadSetting("is no run folder", str(replay), "--replay wants the folder of a run that has sampled")
    folder = prepare.run_folder(source, into, changes or [])
    config = load(folder, PLUGINS, simulator=name if name not in ("", names.TRAIN) else None)
    channels.refuse_one_folder(
        config.machine.channel.name,
        "this command starts both jobs on one",
        "start `python -m sim_daemon` on the one and `python -m train_daemon` on the other",
    )
    simulators = [one for one in config.science.simulators if name in ("", one)]
    trains = name in ("", names.TRAIN) and prepare.uses_weights(folder, config)
    local_pair.refuse_living(folder, [*map(names.simulator_role, simulators), *([names.TRAIN] if trains else [])])
    prepare.clear_controls(folder, [name] if name else [])
    limit = ["--for", duration] if duration else []
    sim_words = [*limit, *(["--steps", str(steps)] if steps else []), *(["--replay", str(replay)] if replay else [])]
    children = local_pair.start(folder, simulators, ranks or config.machine.simulator.ranks, sim_words, limit if trains else None)
    progress = Progress(folder, [child.name for child in children], quiet)
    try:
        outcome = local_pair.watch_over(folder, children, progress.tick)
    finally:
        progress.close()
    if outcome.sentence:
        print(f"renkei: {outcome.sentence}", file=sys.stderr)
    elif outcome.interrupted:
        print(f"renkei: stopped; `renkei run {folder}{f' --name {name}' if name else ''}` goes on from here", file=sys.stderr)
    elif not name:
        _report(folder)
    raise typer.Exit(outcome.code)


def _report(folder: Path) -> None:
    from renkei.verbs.report import report  # draws figures: only at the end

    report(folder)
