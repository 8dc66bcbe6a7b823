"""Fujitsu's job manager (PJM): pjsub, pjstat, pjdel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from protocol.errors import EnvironmentFailed
from renkei.schedulers import base
from renkei.schedulers.base import JobState, State, ask, demand

QUEUED = ("ACC", "QUE", "HLD", "RNA", "QUEUED", "HELD", "ACCEPT")
RUNNING = ("RUN", "RNP", "RNE", "RNO", "SPP", "SPD", "RSM", "RUNNING")


class Settings(base.Settings):
    """pjm."""

    name: Literal["pjm"] = "pjm"


class Pjm:
    """One system. Jobs of a chain are the steps of a step job."""

    chains = True

    def __init__(self, timeout_s: float, steps: bool) -> None:
        """steps: whether the jobs belong to a chain; some resource groups take single jobs only."""
        self._timeout_s, self._steps = timeout_s, steps

    def submit_words(self, script: Path, name: str, after: str | None) -> list[str]:
        """As the contract. A step without a condition starts however the one before it ended."""
        chain = ["--sparam", f"jid={after.partition('_')[0]}"] if after else []
        return ["pjsub", *(["--step"] if self._steps else []), *chain, "-N", name, str(script)]

    def submit(self, script: Path, name: str, after: str | None) -> str:
        """As the contract."""
        said = demand(self.submit_words(script, name, after), self._timeout_s)
        found = re.search(r"[Jj]ob (\d+(?:_\d+)?) submitted", said)
        if found is None:
            raise EnvironmentFailed(f"pjsub told no job number: {said.strip()!r}", next="run the same command again")
        return found[1]

    def query(self, jobs: Mapping[str, str]) -> dict[str, JobState]:
        """As the contract."""
        return {job.id: job for job in self._jobs() if job.id in jobs}

    def find(self, name: str) -> str | None:
        """As the contract. The table cuts names; what is left of ours is unique."""
        return next((job.id for job in self._jobs() if len(job.name) >= 9 and name.startswith(job.name)), None)

    def cancel(self, ids: Sequence[str]) -> None:
        """As the contract."""
        for number in ids:
            answer = ask(["pjdel", number], self._timeout_s)
            said = answer.error + answer.out
            if answer.code and "does not exist" not in said and "already" not in said:
                raise EnvironmentFailed(f"pjdel {number}: {answer.words}", next="run the same command again")

    def _jobs(self) -> list[JobState]:
        """The user's jobs, steps one by one; ended ones, which `-H` would show, are not asked for."""
        return parse(demand(["pjstat", "-E"], self._timeout_s))


def build(settings: Settings) -> Pjm:
    """The scheduler."""
    return Pjm(settings.timeout_s, settings.chain_jobs > 0)


def parse(table: str) -> list[JobState]:
    """The jobs of pjstat's table, whose columns differ from site to site; a site's own pjstat writes STATUS for ST."""
    columns: dict[str, int] = {}
    jobs = []
    for words in (line.split() for line in table.splitlines()):
        if "JOB_ID" in words and "JOB_NAME" in words:
            columns = {word: place for place, word in enumerate(words)}
        elif columns and words and re.fullmatch(r"\d+(_\d+)?", words[columns["JOB_ID"]]):
            word = words[columns["ST" if "ST" in columns else "STATUS"]]
            state = State.QUEUED if word in QUEUED else State.RUNNING if word in RUNNING else State.ENDED
            jobs.append(JobState(words[columns["JOB_ID"]], words[columns["JOB_NAME"]].rstrip("*"), state, word))
    of_steps = {job.id.partition("_")[0] for job in jobs if "_" in job.id}
    return [job for job in jobs if job.id not in of_steps]
