"""What has been submitted for a run, and the next submission: planned durably, submitted once, each id recorded at once.

RUN/jobs/submission-0001/ appears whole, with the plan and the scripts, before anything is submitted: two commands at the same
time cannot both make it, and a command that died in between has left the names by which the scheduler is asked for its jobs.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocol import atomic, jsontext, names, process
from protocol.errors import BadSetting, EnvironmentFailed, ProtocolError, Torn
from protocol.settings import Config
from protocol.store import Store
from renkei import job_scripts, prepare
from renkei.job_scripts import Place
from renkei.schedulers import base as schedulers
from renkei.schedulers.base import LIVE, JobState, Scheduler, State

SCHEMA = 1
LIMIT = 2**24
PLAN = "plan.json"
FOLDER = re.compile(r"submission-(\d{4,})")


@dataclass(frozen=True)
class Job:
    """One planned job, and its id once it was submitted."""

    key: str  # sim0-1: the first job of the simulator sim0
    role: str
    name: str  # in the scheduler; unique, and short enough for all of them
    script: str
    after: str | None  # key of the job whose end it awaits
    folder: Path
    scheduler: str
    id: str | None = None


@dataclass(frozen=True)
class Found:
    """A job and what the scheduler says of it; None: it has forgotten the job, which has ended."""

    job: Job
    state: JobState | None

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state is not None and self.state.state in LIVE

    def line(self) -> str:
        """One line for people."""
        state = f"{self.state.state}: {self.state.said}" if self.state else f"{State.ENDED}, the scheduler no longer knows it"
        return f"{self.job.role}: job {self.job.id} ({self.job.key}, {self.job.name}): {state}"


def folders(run: Path) -> list[Path]:
    """Folders of the submissions, in order."""
    try:
        found = [path for path in (run / names.JOBS).iterdir() if FOLDER.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=lambda path: int(path.name.partition("-")[2]))


def read(folder: Path) -> tuple[list[Job], Mapping[str, Any]]:
    """The jobs of a submission, and the process that submitted them. Raises Torn."""
    path = folder / PLAN
    plan = jsontext.loads(atomic.read_bytes(path, LIMIT), path)
    try:
        jobs = [Job(**fields, folder=folder, scheduler=plan["scheduler"]) for fields in plan["jobs"]]
        who = dict(plan["process"])
    except (KeyError, TypeError, ValueError) as error:
        raise Torn(f"not a plan of jobs ({type(error).__name__}: {error})", str(path)) from error
    return [replace(job, id=_recorded(job)) for job in jobs], who


def newest(run: Path) -> list[Job]:
    """The jobs of the newest submission of each role, in the order of their submission."""
    chosen: dict[str, list[Job]] = {}
    for folder in folders(run):
        of_folder = read(folder)[0]
        chosen |= {role: [job for job in of_folder if job.role == role] for role in dict.fromkeys(job.role for job in of_folder)}
    return [job for jobs in chosen.values() for job in jobs]


def look(jobs: Sequence[Job]) -> list[Found]:
    """What the scheduler says of submitted jobs. Raises EnvironmentFailed if it does not answer."""
    states: dict[str, JobState] = {}
    for name in dict.fromkeys(job.scheduler for job in jobs):
        states |= _scheduler(name).query({job.id: job.name for job in jobs if job.id and job.scheduler == name})
    return [Found(job, states.get(job.id)) for job in jobs if job.id]


def complete_last(run: Path, say: Callable[[str], None]) -> None:
    """Take up a submission that died half-way: what the scheduler knows by name is recorded, nothing is submitted twice.

    say: is given a line for every job that was found. Raises ProtocolError while that submission still goes on.
    """
    for folder in folders(run)[-1:]:
        jobs, who = read(folder)
        missing = [job for job in jobs if job.id is None]
        if not missing or (folder / "cancelled").exists():
            continue
        if not process.is_gone(who):
            raise ProtocolError(
                f"another `renkei submit` (process {who.get('pid')} on {who.get('host')}) has not finished",
                str(folder),
                "wait for it; if it is gone, `renkei cancel` this run and submit again",
            )
        for job, number in _recover(missing):
            say(f"{job.role}: job {number} ({job.name}) was submitted by a command that did not end")


def _recover(jobs: Sequence[Job]) -> list[tuple[Job, str]]:
    """Record the ids of jobs that a command submitted and then died, as the scheduler knows them by name; which they were."""
    found = []
    for job in (job for job in jobs if job.id is None):
        number = _scheduler(job.scheduler).find(job.name)
        if number is not None:
            _record(job, number)
            found.append((job, number))
    return found


def plan(run: Path, config: Config, roles: Sequence[str], folder: Path | None = None) -> tuple[list[Job], dict[str, str]]:
    """The jobs of the next submission, and the texts of its scripts by file name. Writes nothing.

    folder: of the scripts and of the jobs' output; none: the next free one of the run.
    """
    last = folders(run)[-1:]
    number = 1 + (int(last[0].name.partition("-")[2]) if last else 0)
    folder = (folder or run / names.JOBS / f"submission-{number:04d}").resolve()
    settings = config.machine.scheduler
    length = 1 + getattr(settings, "chain_jobs", 0)
    jobs, texts = [], {}
    for role in roles:
        short, script = names.sender(role), f"{names.sender(role)}.sh"
        for turn in range(1, length + 1):
            name = f"rk-{uuid.uuid4().hex[:6]}-{short[:5]}"  # 15 characters, the most that Torque takes
            after = f"{short}-{turn - 1}" if turn > 1 else None
            jobs.append(Job(f"{short}-{turn}", role, name, script, after, folder, settings.name))
        own = next(job.name for job in jobs if job.role == role)
        texts[script] = job_scripts.render(config, role, Place(run.resolve(), folder / script, own))
    return jobs, texts


def publish(run: Path, jobs: Sequence[Job], texts: Mapping[str, str]) -> None:
    """Make the submission's folder, whole and exclusive. Raises ProtocolError if another command was faster."""
    folder = jobs[0].folder
    keys = ("key", "role", "name", "script", "after")
    content = {
        "schema": SCHEMA,
        "scheduler": jobs[0].scheduler,
        "process": process.identity(),
        "unix": time.time(),
        "jobs": [{key: getattr(job, key) for key in keys} for job in jobs],
    }
    atomic.make_folder(folder.parent)
    tmp = atomic.make_temporary_folder(folder)
    try:
        for name, text in texts.items():
            atomic.publish_bytes(tmp / name, text.encode())
        atomic.publish_bytes(tmp / PLAN, jsontext.dumps(content, indent=1))
        atomic.publish_folder(tmp, folder)
    except FileExistsError as error:
        raise ProtocolError("another `renkei submit` was faster", str(run), "look at `renkei status`") from error
    finally:
        atomic.discard(tmp)


def submit(jobs: Sequence[Job], settings: Any, say: Callable[[str], None]) -> None:
    """Submit planned jobs that have no id yet, and record each id at once."""
    scheduler: Scheduler = schedulers.load(settings.name).build(settings)
    ids: dict[str, str] = {}
    for job in jobs:
        after = ids.get(job.after) if job.after else None
        ids[job.key] = scheduler.submit(job.folder / job.script, job.name, after)
        _record(job, ids[job.key])
        wait = f", after job {after}" if after else ""
        say(f"{job.role}: job {ids[job.key]} ({job.key}, {job.name}){wait}")


def wanted(run: Path, config: Config, found: Sequence[Found], only: Sequence[str] | None = None) -> list[str]:
    """The roles, of all or of some, that have no job waiting or running, and something left to do. Raises BadSetting."""
    store = Store(run)
    roles = [names.simulator_role(name) for name in config.science.simulators]
    known = {names.SIM: roles, names.TRAIN: [names.TRAIN], **{role: [role] for role in roles}}
    unknown = [word for word in only or () if word not in known]
    if unknown:
        raise BadSetting(f"no role {unknown[0]!r}", "--only", f"this run has {', '.join(known)}")
    chosen = {role for word in only or known for role in known[word]}
    left = [role for role in roles if not store.complete(role)]
    alive = {one.job.role for one in found if one.alive}
    trainer = [names.TRAIN] if left and prepare.uses_weights(run, config) else []
    return [role for role in [*left, *trainer] if role in chosen and role not in alive]


def cancel(run: Path, say: Callable[[str], None]) -> int:
    """Cancel every job that waits or runs, the last of a chain first; how many there were."""
    for folder in folders(run):
        if not (folder / "cancelled").exists():
            _recover(read(folder)[0])
            atomic.publish_bytes(folder / "cancelled", b"")
    alive = [one for one in look([job for folder in folders(run) for job in read(folder)[0]]) if one.alive]
    for one in reversed(alive):
        _scheduler(one.job.scheduler).cancel([one.job.id or ""])
        say(f"{one.job.role}: job {one.job.id} ({one.job.key}, {one.job.name}) is cancelled")
    return len(alive)


def of_role(run: Path, role: str) -> list[Found]:
    """The jobs of the newest submission of a role, and what the scheduler says of them. Raises EnvironmentFailed."""
    jobs = [job for job in newest(run) if job.role == role]
    _recover(jobs)
    return look([replace(job, id=_recorded(job)) for job in jobs])


def cancel_waiting(found: Sequence[Found]) -> list[Found]:
    """Cancel those that have not begun, the last of a chain first; which they were, in the order of their submission."""
    waiting = [one for one in found if one.state is not None and one.state.state is State.QUEUED]
    for one in reversed(waiting):
        _scheduler(one.job.scheduler).cancel([one.job.id or ""])
    return waiting


def refuse_stopping(run: Path, found: Sequence[Found]) -> None:
    """Jobs that wait or run would obey a STOP that lies there. Raises BadSetting."""
    if any(one.alive for one in found) and (run / names.CONTROL / names.STOP).exists():
        raise BadSetting(
            "control/STOP is there, and its jobs have not ended yet",
            str(run),
            "submit again when they have, or `renkei cancel` first",
        )


def clear_controls(run: Path, found: Sequence[Found], roles: Sequence[str], some: bool) -> None:
    """Remove old STOP, PAUSE and FREEZE; if `some` roles alone were asked for, or others have jobs, for the `roles` only."""
    others = some or any(one.alive for one in found)
    prepare.clear_controls(run, [names.sender(role) for role in roles] if others else [])


def lines(run: Path) -> list[str]:
    """One line for each job of the newest submissions, or the reason why there is none."""
    try:
        return [one.line() for one in look(newest(run))]
    except (EnvironmentFailed, Torn) as error:
        return [f"jobs: {error}"]


def _scheduler(name: str) -> Scheduler:
    """The scheduler by name alone: what asks and cancels depends on no queue."""
    module = schedulers.load(name)
    scheduler: Scheduler = module.build(module.Settings())
    return scheduler


def _recorded(job: Job) -> str | None:
    path = job.folder / f"{job.key}.json"
    try:
        return str(jsontext.loads(atomic.read_bytes(path, LIMIT), path)["id"])
    except (FileNotFoundError, KeyError):
        return None


def _record(job: Job, number: str) -> None:
    atomic.publish_bytes(job.folder / f"{job.key}.json", jsontext.dumps({"id": number, "unix": time.time()}))
