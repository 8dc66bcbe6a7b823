"""Peers in an environment of their own: a job goes there as files, figures come back as the last line that is a JSON object."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kernels.arrays import Array

ROOT = Path(__file__).parents[1]
ABSENT = "peers are absent: make their environment (docs/benchmarks.md) and give its interpreter as --peers PYTHON"
LONGEST_S = 3000
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA"))


def on_one_core() -> None:
    """Begin again with one thread for everything: numpy's libraries read the environment when they are loaded."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **dict.fromkeys(THREADS, "1")})


def machine() -> dict[str, Any]:
    """Processor, cores, and how many processes ran in the minute before."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        name = next(line.split(": ")[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"processor": name, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}


def ask(python: str, program: str, job: Mapping[str, Any], arrays: Mapping[str, Array]) -> dict[str, Any]:
    """What benchmarks/peers/PROGRAM.py answers to a job on one core; {"failed": why} where it cannot run.

    job: plain numbers and words.  arrays: what does not fit there; the program finds both in the folder it is given.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= dict.fromkeys(THREADS, "1")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "job.json").write_text(json.dumps(dict(job)), "utf-8")
        for name, array in arrays.items():
            np.save(Path(folder) / f"{name}.npy", array, allow_pickle=False)
        command = [python, "-m", f"benchmarks.peers.{program}", folder]
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"failed": f"{program}: {error}"}
    told = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not told:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return {"failed": f"{program}: {last}"}
    answer: dict[str, Any] = json.loads(told[-1])
    return answer
