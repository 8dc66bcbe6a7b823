"""Submit the pair of a run as batch jobs; the same command again submits what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol import atomic, names
from protocol.channels import base as channels
from protocol.settings import Config, load
from renkei import prepare, submission
from renkei.plugins import PLUGINS
from renkei.run_folder import demand
from renkei.schedulers import base as schedulers

NOTHING_LEFT = "nothing is submitted: production is complete"
Only = Annotated[list[str] | None, typer.Option(metavar="ROLE", help="no other jobs than: train, sim (all simulators), sim/NAME")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change one key, e.g. scheduler.chain_jobs=3")]


def submit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print scripts and commands; write and submit nothing")] = False,
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="write the scripts there, to submit by hand")] = None,
    only: Only = None,
    changes: Set = None,
) -> None:
    """Submit the simulators and the trainer to the scheduler of machine.yaml, each job once; exit 0 if they are there already."""
    demand(run)
    if dry_run or write:
        _by_hand(run, write, changes or [], only)
        return
    prepare.run_folder(run, None, changes or [])
    config = load(run, PLUGINS)
    submission.complete_last(run, print)
    found = submission.look(submission.newest(run))
    roles = _wanted(run, config, found, only)
    for one in found:
        if one.alive:
            print(f"there already: {one.line()}{_asked_to_stop(run, one.job.role)}")
    if not roles:
        print("nothing is submitted" if any(one.alive for one in found) else NOTHING_LEFT)
        return
    submission.refuse_stopping(run, found)
    jobs, texts = submission.plan(run, config, roles)
    submission.clear_controls(run, found, roles, bool(only))
    submission.publish(run, jobs, texts)
    submission.submit(jobs, config.machine.scheduler, print)
    print(f"scripts and output: {jobs[0].folder}; `renkei status {run}`, `renkei stop {run}`, `renkei cancel {run}`")


def _wanted(run: Path, config: Config, found: list[submission.Found], only: list[str] | None) -> list[str]:
    """The roles to submit."""
    channel = config.machine.channel.name
    if channels.uses_mpi(channel):
        next = "start both programs by one mpiexec in a job script of your own"
        channels.refuse_one_folder(channel, "one job holds both sides", next)
    if not only:
        channels.refuse_one_folder(channel, "this one has one side", "say which: --only sim, or --only train")
    return submission.wanted(run, config, found, only)


def _asked_to_stop(run: Path, role: str) -> str:
    """What a line about a living job adds if it will obey a request to stop."""
    request = names.control(names.STOP, names.sender(role))
    return f"; control/{request} is there: submit again when it has ended" if (run / names.CONTROL / request).exists() else ""


def _by_hand(run: Path, write: Path | None, changes: list[str], only: list[str] | None) -> None:
    """Print or write what would be submitted, for all roles."""
    config = load(run, PLUGINS, changes)
    settings = config.machine.scheduler
    roles = _wanted(run, config, [], only)
    if not roles:
        print(NOTHING_LEFT)
        return
    jobs, texts = submission.plan(run, config, roles, write)
    scheduler: schedulers.Scheduler = schedulers.load(settings.name).build(settings)
    for name, text in texts.items():
        if write is None:
            print(f"--- {name}\n{text}")
        else:
            atomic.make_folder(write)
            atomic.replace_bytes(write / name, text.encode())
    for job in jobs:
        after = f"ID-OF-{job.after}" if job.after else None
        print(" ".join(scheduler.submit_words(job.folder / job.script, job.name, after)))
