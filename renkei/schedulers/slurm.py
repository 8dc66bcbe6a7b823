"""Slurm: sbatch, squeue, scancel."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from protocol.errors import EnvironmentFailed
from renkei.schedulers import base
from renkei.schedulers.base import JobState, State, ask, demand

QUEUED = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "RESV_DEL_HOLD"}
RUNNING = {"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT", "PREEMPTED"}


class Settings(base.Settings):
    """slurm."""

    name: Literal["slurm"] = "slurm"


class Slurm:
    """One cluster's controller."""

    chains = True

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def submit_words(self, script: Path, name: str, after: str | None) -> list[str]:
        """As the contract."""
        return ["sbatch", "--parsable", f"--job-name={name}", *([f"--dependency=afterany:{after}"] if after else []), str(script)]

    def submit(self, script: Path, name: str, after: str | None) -> str:
        """As the contract."""
        said = demand(self.submit_words(script, name, after), self._timeout_s).strip()
        number = said.splitlines()[-1].partition(";")[0] if said else ""  # a cluster's name may follow
        if not number.isdecimal():
            raise EnvironmentFailed(f"sbatch told no job number: {said!r}", next="run the same command again")
        return number

    def query(self, jobs: Mapping[str, str]) -> dict[str, JobState]:
        """As the contract. All of the user's jobs are asked for: one unknown number among several is an error to squeue."""
        return {job.id: job for job in self._jobs([]) if job.id in jobs}

    def find(self, name: str) -> str | None:
        """As the contract."""
        return next((job.id for job in self._jobs([f"--name={name}"]) if job.name == name), None)

    def cancel(self, ids: Sequence[str]) -> None:
        """As the contract."""
        for number in ids:
            answer = ask(["scancel", number], self._timeout_s)
            if answer.code and "Invalid job id" not in answer.error and "already" not in answer.error:
                raise EnvironmentFailed(f"scancel {number}: {answer.words}", next="run the same command again")

    def _jobs(self, choice: Iterable[str]) -> list[JobState]:
        words = ["squeue", "--noheader", "--states=all", f"--user={os.getuid()}", "--format=%i|%T|%r|%j", *choice]
        rows = [line.strip().split("|", 3) for line in demand(words, self._timeout_s).splitlines() if line.count("|") >= 3]
        return [JobState(number, name, _state(word), _said(word, why)) for number, word, why, name in rows]


def build(settings: Settings) -> Slurm:
    """The scheduler."""
    return Slurm(settings.timeout_s)


def _state(word: str) -> State:
    return State.QUEUED if word in QUEUED else State.RUNNING if word in RUNNING else State.ENDED


def _said(word: str, why: str) -> str:
    return word if why in ("", "None") else f"{word} ({why})"
