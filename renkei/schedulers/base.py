"""Contract of a scheduler: who starts the jobs of `renkei submit`.

To add one: a file here with `Settings` and `build(settings) -> Scheduler`, a pair of job scripts in jobscripts/, and
tests/renkei/schedulers/test_NAME.py. The file name is the YAML name; a dotted name is a module of the user's own.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from pydantic import Field, field_validator

from protocol.duration import checked_duration
from protocol.errors import EnvironmentFailed
from protocol.settings import Section


class JobSettings(Section):
    """What one of the two jobs asks for; what is not said here is taken from the section above."""

    queue: str | None = None  # partition, queue, or resource group
    account: str | None = None  # account, project, or group
    walltime: str | int | None = None  # 24:00:00, 90min; a number is seconds
    nodes: int | None = Field(default=None, ge=1)
    cores_per_rank: int | None = Field(default=None, ge=1)
    gpus: int | None = Field(default=None, ge=0)  # on each node
    memory: str | None = None  # on each node, as the scheduler writes it: 64G
    venv: Path | None = None  # environment of this job's nodes; none: the one that submits
    modules: tuple[str, ...] | None = None
    environment: dict[str, str | int | float] | None = None
    setup: tuple[str, ...] | None = None  # lines of shell before the job's command
    launcher: str | None = None  # of the ranks, e.g. srun -n {ranks}
    options: tuple[str, ...] | None = None  # further directives, e.g. --qos=long

    @field_validator("walltime")
    @classmethod
    def _a_length_of_time(cls, given: str | int | None) -> str | int | None:
        if isinstance(given, int) and given <= 0:
            raise ValueError("must be > 0")
        return checked_duration(given) if isinstance(given, str) else given


class Settings(JobSettings):
    """Keys that all batch systems take."""

    name: str
    chain_jobs: int = Field(default=0, ge=0, le=100)  # continuation jobs of each side, one after the other
    timeout_s: float = Field(default=60.0, gt=0)  # of one command of the scheduler
    simulator: JobSettings = JobSettings()
    trainer: JobSettings = JobSettings()


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"


LIVE = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class JobState:
    """What the scheduler says of a job."""

    id: str
    name: str
    state: State
    said: str  # its own word


class Scheduler(Protocol):
    """All calls raise EnvironmentFailed where the scheduler does not answer."""

    chains: bool  # whether a job can wait for the end of another

    def submit_words(self, script: Path, name: str, after: str | None) -> list[str]:
        """The command that submits a script, after the end of another job (an id), however that ends."""
        ...

    def submit(self, script: Path, name: str, after: str | None) -> str:
        """Submit a script; its id."""
        ...

    def query(self, jobs: Mapping[str, str]) -> dict[str, JobState]:
        """State of jobs (id -> name). One that the scheduler has forgotten is missing: it has ended."""
        ...

    def find(self, name: str) -> str | None:
        """Id of the job of this name, which is unique; None if the scheduler knows none."""
        ...

    def cancel(self, ids: Sequence[str]) -> None:
        """End these jobs, in this order; one that has ended is no error."""
        ...


def load(name: str) -> ModuleType:
    """The module of a scheduler: load("slurm"), or a stranger's "my_lab.scheduler"."""
    return import_module(name if "." in name else f"{__package__}.{name}")


@dataclass(frozen=True)
class Answer:
    """What a command of the scheduler said."""

    code: int
    out: str
    error: str

    @property
    def words(self) -> str:
        """Its last words, in one line."""
        lines = [line.strip() for line in (self.error or self.out).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.code}"


def ask(words: Sequence[str], timeout_s: float) -> Answer:
    """Run a command of the scheduler. Raises EnvironmentFailed if there is none, or no answer within the time."""
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout_s
        )
    except FileNotFoundError as error:
        raise EnvironmentFailed(
            f"there is no {words[0]} on this machine", next="run this where jobs are submitted, or change scheduler.name"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFailed(
            f"{words[0]} gave no answer within {timeout_s:g} s",
            next="run the same command again (nothing is submitted twice), or raise scheduler.timeout_s",
        ) from error
    except OSError as error:
        raise EnvironmentFailed(
            f"{words[0]} cannot be run: {error.strerror}", next="look at the scheduler's installation"
        ) from error
    return Answer(done.returncode, done.stdout, done.stderr)


def demand(words: Sequence[str], timeout_s: float) -> str:
    """What a command prints; EnvironmentFailed with its own words if it fails."""
    answer = ask(words, timeout_s)
    if answer.code:
        raise EnvironmentFailed(
            f"{words[0]}: {answer.words}", next="mend this (queue, account, limits), then run the same command"
        )
    return answer.out
