"""This machine: the jobs run in the background, without a queue."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from protocol import process
from protocol.errors import EnvironmentFailed
from renkei.schedulers.base import JobSettings, JobState, State


class Settings(JobSettings):
    """local."""

    name: Literal["local"] = "local"
    simulator: JobSettings = JobSettings()
    trainer: JobSettings = JobSettings()


class Local:
    """Processes of this machine, each the leader of a group of its own."""

    chains = False

    def submit_words(self, script: Path, name: str, after: str | None) -> list[str]:
        """As the contract."""
        return ["bash", str(script)]

    def submit(self, script: Path, name: str, after: str | None) -> str:
        """As the contract. The output goes beside the script."""
        with open(script.with_suffix(".out"), "ab") as sink:
            job = subprocess.Popen(
                self.submit_words(script, name, after),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        who = process.identity(job.pid)
        return f"{who['pid']}.{who['born']}@{who['host']}"

    def query(self, jobs: Mapping[str, str]) -> dict[str, JobState]:
        """As the contract. Nobody here can tell of a process of another machine: it counts as running."""
        found = {}
        for number, name in jobs.items():
            who = _who(number)
            if not process.is_gone(who):
                here = who["host"] == process.identity()["host"]
                found[number] = JobState(number, name, State.RUNNING, "running" if here else f"on {who['host']}")
        return found

    def find(self, name: str) -> str | None:
        """As the contract. Names of processes are not kept; a second daemon of a role is refused by the run itself."""
        return None

    def cancel(self, ids: Sequence[str]) -> None:
        """As the contract: SIGTERM."""
        for number in ids:
            who = _who(number)
            if who["host"] != process.identity()["host"]:
                raise EnvironmentFailed(f"process {who['pid']} runs on {who['host']}", next="run this there, or `renkei stop`")
            if not process.is_gone(who):
                os.killpg(who["pid"], signal.SIGTERM)


def build(settings: Settings) -> Local:
    """The scheduler."""
    return Local()


def _who(number: str) -> dict[str, Any]:
    mine, _, host = number.partition("@")
    pid, _, born = mine.partition(".")
    return {"pid": int(pid), "born": int(born) if born.isdecimal() else None, "host": host, "boot": process.identity()["boot"]}
