"""Ask the jobs of a run to finish, all or one; one that has not begun is cancelled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from protocol import names
from protocol.errors import BadSetting, EnvironmentFailed, Torn
from renkei import prepare
from renkei.run_folder import demand, is_submitted, next_start


def stop(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    name: Annotated[str, typer.Option(metavar="NAME", help="this simulator alone, or `train`")] = "",
) -> None:
    """Ask all jobs of a run to finish their step, save and end; works from any machine that sees the folder."""
    demand(run)
    if name:
        print(_stop_one(run, name))
        return
    prepare.put_control(run, names.STOP)
    print(f"asked all jobs of {run} to stop; `{next_start(run)}` goes on from there")


def _stop_one(run: Path, name: str) -> str:
    """Ask one job to stop, by its control file; where it still waits in a queue, cancel it. Returns the sentence for the user."""
    role = name if name == names.TRAIN else names.simulator_role(name)
    if (run / role / names.REPLICA).exists():
        raise BadSetting(f"{name} works in a folder of its own, this is its copy", str(run), "stop it there")
    asked, started = f"asked {name} of {run} to stop", (run / role).is_dir()
    run_again = f"`renkei run {run} --name {name}` goes on from there"
    if not is_submitted(run):
        if name != names.TRAIN and not started:
            raise BadSetting(f"there is no simulator {name!r}", str(run), "`renkei status` names those that have started")
        prepare.put_control(run, names.control(names.STOP, name))
        return f"{asked}; {run_again}"
    from renkei import submission  # who never submits needs no templates

    submit_again = f"`renkei submit {run} --only {role}` goes on from there"
    try:
        found = submission.of_role(run, role)
        if name != names.TRAIN and not started and not any(one.alive for one in found):
            raise BadSetting(f"simulator {name!r} has not started, and no job of it waits", str(run), "`renkei status` names all")
        prepare.put_control(run, names.control(names.STOP, name))  # first: a job that begins just now obeys it
        waiting = submission.cancel_waiting(found)
    except (EnvironmentFailed, Torn) as error:
        prepare.put_control(run, names.control(names.STOP, name))
        return f"{asked}; a job of it that still waits for its turn will start nothing ({error.what}); {submit_again}"
    if not waiting:
        return f"{asked}; {submit_again if any(one.alive for one in found) else run_again}"
    jobs = ", ".join(f"job {one.job.id}" for one in waiting) + (" is" if len(waiting) == 1 else " are")
    if len(waiting) == sum(one.alive for one in found):
        return f"{name} of {run} only waited for its turn: {jobs} cancelled; {submit_again}"
    return f"{asked}; {jobs} cancelled, whose turn had not come; {submit_again}"
