"""The batch job that this process belongs to: which it is, and how long it may still run."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

PATIENCE_S = 20.0  # of one question to the scheduler
JOB_END = "RENKEI_JOB_END"  # unix time, set by our job scripts on this node's clock
RESERVE_SHARE, RESERVE_MIN_S, RESERVE_MAX_S = 0.02, 10.0, 120.0  # of what is left: for the last checkpoint

Ask = Callable[[Sequence[str]], str]


def job(environment: Mapping[str, str] | None = None) -> dict[str, str | int] | None:
    """The batch job that this process belongs to: scheduler, id, and how often it was put back into the queue."""
    environment = os.environ if environment is None else environment
    for scheduler, variable in (("slurm", "SLURM_JOB_ID"), ("pbs", "PBS_JOBID"), ("pjm", "PJM_JOBID")):
        if environment.get(variable):
            again = environment.get("SLURM_RESTART_COUNT", "")
            return {"scheduler": scheduler, "id": environment[variable], "restarts": int(again) if again.isdecimal() else 0}
    return None


def deadline_s(wish_s: float | None, environment: Mapping[str, str] | None = None) -> tuple[float | None, str]:
    """Seconds from now after which to end, and who says so; None: no end.

    wish_s: --for. The job's own end counts if it is sooner, less a reserve for the last checkpoint.
    """
    left, source = job_left_s(os.environ if environment is None else environment)
    if left is None:
        return wish_s, "--for" if wish_s is not None else ""
    left -= min(max(RESERVE_SHARE * left, RESERVE_MIN_S), RESERVE_MAX_S)
    if wish_s is not None and wish_s <= left:
        return wish_s, "--for"
    return max(left, 0.0), source


def job_left_s(
    environment: Mapping[str, str], ask: Ask | None = None, now: Callable[[], float] = time.time
) -> tuple[float | None, str]:
    """Seconds until the batch system ends this job, and who says so; (None, "") where nobody knows.

    The scheduler's word (Slurm, PBS Pro and OpenPBS, Torque) comes first; then RENKEI_JOB_END of the job script. PJM tells no job
    its end, so there the script's word counts.
    """
    ask = ask or _ask
    for source, look in (("Slurm", _slurm), ("PBS", _pbs), ("the job script", _script)):
        left = look(environment, ask, now)
        if left is not None:
            return left, source
    return None, ""


def _slurm(environment: Mapping[str, str], ask: Ask, now: Callable[[], float]) -> float | None:
    number = environment.get("SLURM_JOB_ID", "")
    if not number.isdecimal():
        return None
    left = span_s(ask(["squeue", "--noheader", f"--jobs={number}", "--format=%L"]))
    if left is not None:
        return left
    begin, end = (environment.get(f"SLURM_JOB_{which}_TIME", "") for which in ("START", "END"))  # since 23.02
    if not end.isdecimal():
        return None
    left = float(end) - now()
    limit = float(end) - float(begin) if begin.isdecimal() else left
    return left if 0 < left <= limit + 60 else limit  # else the controller's clock is another one


def _pbs(environment: Mapping[str, str], ask: Ask, now: Callable[[], float]) -> float | None:
    number = environment.get("PBS_JOBID", "")
    if not number:
        return None
    said = ask(["qstat", "-f", number])
    limit = re.search(r"Resource_List\.walltime = ([\d:]+)", said)
    used = re.search(r"resources_used\.walltime = ([\d:]+)", said)
    if limit:
        return (span_s(limit[1]) or 0.0) - (span_s(used[1]) or 0.0 if used else 0.0)
    told = environment.get("PBS_WALLTIME", "")  # Torque's: seconds from the job's start
    return float(told) if told.isdecimal() and JOB_END not in environment else None


def _script(environment: Mapping[str, str], ask: Ask, now: Callable[[], float]) -> float | None:
    end = environment.get(JOB_END, "")
    return float(end) - now() if end.isdecimal() else None


def span_s(text: str) -> float | None:
    """Seconds of "2-03:04:05", "03:04:05", "04:05" or "90"; None for UNLIMITED, NOT_SET and the like."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+(?::\d+){0,3})", text.strip())
    if found is None:
        return None
    seconds = 0.0
    for part in found[2].split(":"):
        seconds = 60 * seconds + float(part)
    return 86400 * float(found[1] or 0) + seconds


def _ask(words: Sequence[str]) -> str:
    """What a command prints; nothing where it is missing, fails, or takes too long."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
