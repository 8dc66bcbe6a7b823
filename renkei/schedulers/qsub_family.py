"""qsub, qstat, qselect, qdel, as PBS Pro, OpenPBS and Torque share them."""

from __future__ import annotations

import getpass
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from protocol.errors import EnvironmentFailed
from renkei.schedulers.base import JobState, State, ask, demand

RUNNING = "RESB"  # running, exiting, suspended, a begun array
QUEUED = "QHWTUM"
UNKNOWN = ("Unknown Job", "has finished", "Job has finished", "Invalid job", "invalid state")


class QsubFamily:
    """One server."""

    chains = True

    def __init__(self, timeout_s: float, history: Sequence[str]) -> None:
        """history: options of qstat and qselect that show ended jobs too."""
        self._timeout_s, self._history = timeout_s, list(history)

    def submit_words(self, script: Path, name: str, after: str | None) -> list[str]:
        """As the contract."""
        return ["qsub", "-N", name, *(["-W", f"depend=afterany:{after}"] if after else []), str(script)]

    def submit(self, script: Path, name: str, after: str | None) -> str:
        """As the contract."""
        said = demand(self.submit_words(script, name, after), self._timeout_s).strip()
        number = said.splitlines()[-1].strip() if said else ""
        if not re.fullmatch(r"\d+(\[\])?(\.[\w.-]+)?", number):
            raise EnvironmentFailed(f"qsub told no job number: {said!r}", next="run the same command again")
        return number

    def query(self, jobs: Mapping[str, str]) -> dict[str, JobState]:
        """As the contract."""
        if not jobs:
            return {}
        answer = ask(["qstat", *self._history, "-f", *jobs], self._timeout_s)
        if answer.code and not any(word in answer.error for word in UNKNOWN):
            raise EnvironmentFailed(f"qstat: {answer.words}", next="run the same command again")
        return {job.id: job for job in parse(answer.out)}

    def find(self, name: str) -> str | None:
        """As the contract."""
        said = demand(["qselect", *self._history, "-u", getpass.getuser(), "-N", name], self._timeout_s).split()
        return said[0] if said else None

    def cancel(self, ids: Sequence[str]) -> None:
        """As the contract."""
        for number in ids:
            answer = ask(["qdel", number], self._timeout_s)
            if answer.code and not any(word in answer.error for word in UNKNOWN):
                raise EnvironmentFailed(f"qdel {number}: {answer.words}", next="run the same command again")


def parse(text: str) -> list[JobState]:
    """The jobs of `qstat -f`; a long value goes on in a line that begins with a tab."""
    jobs = []
    for block in re.split(r"^Job Id: ", text.replace("\n\t", ""), flags=re.MULTILINE)[1:]:
        number, *rows = block.splitlines()
        facts = dict(row.strip().split(" = ", 1) for row in rows if " = " in row)
        letter = facts.get("job_state", "")
        state = State.RUNNING if letter in RUNNING else State.QUEUED if letter in QUEUED else State.ENDED
        code = f", exit code {facts['Exit_status']}" if "Exit_status" in facts else ""
        jobs.append(JobState(number.strip(), facts.get("Job_Name", ""), state if letter else State.ENDED, f"{letter}{code}"))
    return jobs
