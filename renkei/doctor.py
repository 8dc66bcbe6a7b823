"""What Renkei finds on this machine: a check is one function here, in one of the two lists at the end.

Each check gives a line for people, and says what to do where something is not as it should be. What only some need is no fault.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protocol import atomic, ownership
from protocol.errors import EnvironmentFailed, RenkeiError
from renkei.local_pair import launcher
from sim_daemon.engines.espresso import end_group

MPI_LIMIT_S, TORCH_LIMIT_S = 60.0, 120.0  # two ranks that join, and an import over a slow file server
SCRATCH_GB, RUN_GB = 1.0, 5.0  # less free space is worth a word
TRIALS, TRIAL_BYTES = 5, 1_000_000  # of a durable file
SLOW_FILE_S = 0.1  # a step writes a few of them
ENGINES = {"tblite": "pip install tblite", "pyscf": "pip install 'renkei[pyscf]'"}
JOIN = "from mpi4py import MPI; print(f'joined {MPI.COMM_WORLD.Get_size()};', flush=True)"
TORCH = """
import json, torch
cuda = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps([torch.__version__, torch.version.cuda, [(one.name, one.total_memory) for one in cuda]]))
"""


@dataclass(frozen=True)
class Finding:
    """One line."""

    subject: str
    found: str
    todo: str = ""  # "": nothing
    broken: bool = False  # something that every run needs


def python() -> Finding:
    """The interpreter."""
    found = f"{platform.python_version()}, {sys.executable}"
    return Finding(
        "Python", found, "" if sys.version_info >= (3, 11) else "Renkei needs 3.11 or newer", sys.version_info < (3, 11)
    )


def packages() -> Finding:
    """Versions of what the installation asked for, extras left out."""
    try:
        wanted = metadata.requires("renkei") or []
    except metadata.PackageNotFoundError:
        return Finding("packages", "renkei is not installed in this environment", "in the checkout: pip install .", True)
    names = [re.split(r"[^\w-]", text)[0] for text in wanted if "extra ==" not in text]
    names = [name for name in names if name != "mpich" or sys.platform == "linux"]
    there = {name: version for name in names if (version := _version(name))}
    missing = [name for name in names if name not in there and name != "mpich"]  # a site's own MPI does instead
    found = ", ".join(f"{name} {version}" for name, version in {"renkei": _version("renkei"), **there}.items())
    todo = f"pip install {' '.join(missing)}" if missing else ""
    return Finding("packages", found + (f"; missing: {', '.join(missing)}" if missing else ""), todo, bool(missing))


def names() -> Finding:
    """Whether our import names are ours here."""
    try:
        ownership.check()
    except EnvironmentFailed as error:
        return Finding("import names", f"{error.where}: {error.what}", error.next, True)
    return Finding("import names", "kernels, protocol and both jobs are this installation's")


def kernels() -> Finding:
    """Which loops evaluate the surrogate."""
    from kernels import native

    serving, asked = native.backend(), os.environ.get("RENKEI_KERNELS", "")
    if serving != "numba":
        return Finding("kernels", f"compiled, {serving}" + (", asked for by RENKEI_KERNELS" if asked else ""))
    rebuild = f"in the checkout: {sys.executable} -m pip install --no-deps --force-reinstall --editable ."
    if asked:
        why, todo = f"RENKEI_KERNELS={asked} asks for them or for what is not here", "unset RENKEI_KERNELS for the compiled ones"
    elif any(native.FOLDER.glob("*.so")):
        why, todo = "the compiled ones are of another version or for another processor", f"build them anew, {rebuild}"
    else:
        why, todo = "no compiler was there at installation", f"install a C++ compiler (g++ or clang), then, {rebuild}"
    return Finding("kernels", f"numba: {why}; the same numbers, about three times as slow", todo)


def mpi() -> Finding:
    """Whether two ranks of the launcher that `renkei run` takes really join."""
    try:
        words = launcher(2)
    except EnvironmentFailed as error:
        return Finding("MPI", error.what, error.next)
    said = _answer([*words, sys.executable, "-c", JOIN], MPI_LIMIT_S)
    joined = re.findall(r"joined (\d+);", said)
    if joined == ["2", "2"]:
        return Finding("MPI", f"2 ranks joined under {words[0]}")
    found = f"2 ranks did not join under {words[0]}: {f'{len(joined)} worlds of one' if '1' in joined else _last_line(said)}"
    todo = "use the mpirun that belongs to mpi4py's MPI library (user guide, Install); --ranks 1 needs none"
    return Finding("MPI", found, todo, True)


def trainer() -> Finding:
    """torch and its devices, asked in a process of its own: an import may take long, or die."""
    if find_spec("torch") is None:
        return Finding("trainer", "no torch: the simulator does without, the trainer does not", "pip install 'renkei[trainer]'")
    said = _answer([sys.executable, "-c", TORCH], TORCH_LIMIT_S)
    try:
        version, cuda, devices = json.loads(_last_line(said))
    except ValueError:
        return Finding(
            "trainer", f"torch cannot be imported: {_last_line(said)}", "install torch anew, as pytorch.org says", True
        )
    triton = f", triton {_version('triton')}" if _version("triton") else ""
    found = f"torch {version}{triton}"
    if devices:
        return Finding("trainer", f"{found}; " + ", ".join(f"{name}, {memory / 2**30:.0f} GiB" for name, memory in devices))
    if shutil.which("nvidia-smi"):
        built = f"built for CUDA {cuda}" if cuda else "built without CUDA"
        return Finding(
            "trainer", f"{found} ({built}) sees no GPU, but there is a driver", "install the torch that fits the driver"
        )
    return Finding("trainer", f"{found}, on the CPU: no CUDA device")


def engines() -> Finding:
    """Engines that are here; a run needs the one that it names."""
    there = [f"{name} {_version(name)}" for name in ENGINES if find_spec(name) is not None]
    absent = [f"{name} ({remedy})" for name, remedy in ENGINES.items() if find_spec(name) is None]
    pw = shutil.which("pw.x")
    there += [f"espresso ({pw})"] if pw else []
    absent += [] if pw else ["espresso (no pw.x on the PATH)"]
    return Finding("engines", ", ".join([*there, "ase", "toys"]) + (f"; not here: {', '.join(absent)}" if absent else ""))


def cores() -> Finding:
    """Cores that this process may use, and threads that it was told to use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{usable} of {os.cpu_count()} usable, OMP_NUM_THREADS {told or 'not set: 1 thread a rank'}"
    many = told.isdecimal() and int(told) > usable
    return Finding("cores", found, "more threads than cores: lower OMP_NUM_THREADS" if many else "")


def scratch() -> Finding:
    """Where engines write."""
    folder = Path(tempfile.gettempdir())
    return _space("scratch", folder, SCRATCH_GB, "set TMPDIR to a folder with more space")


def run_files(run: Path) -> Finding:
    """What a run relies on: a name appears whole, is durable, and is taken once."""
    try:
        folder = atomic.make_temporary_folder(run / "doctor")
    except RenkeiError as error:
        return Finding("run files", f"{run}: {error.what}", error.next, True)
    try:
        seconds = [_durable_file(folder / f"trial-{number}") for number in range(TRIALS)]
        atomic.replace_bytes(folder / "trial-0", b"new")
        whole, once = (folder / "trial-0").read_bytes() == b"new", _taken_once(folder / "exclusive")
    except (RenkeiError, OSError) as error:
        return Finding("run files", f"{run}: {error}", "put runs on another file system", True)
    finally:
        atomic.discard(folder)
    median = sorted(seconds)[TRIALS // 2]
    if not (whole and once):
        wrong = "a file that exists can be created once more" if whole else "a renamed file is not what was written"
        return Finding("run files", f"{run}: {wrong}", "put runs on another file system", True)
    found = f"rename is whole, create is exclusive, 1 MB durable in {1e3 * median:.1f} ms"
    return Finding("run files", found, "a slow disk: raise coupling.segment_steps" if median > SLOW_FILE_S else "")


def run_space(run: Path) -> Finding:
    """Free space of the run's file system."""
    return _space("run space", run, RUN_GB, "free some space before a long run")


MACHINE: tuple[Callable[[], Finding], ...] = (python, packages, names, kernels, mpi, trainer, engines, cores, scratch)
RUN: tuple[Callable[[Path], Finding], ...] = (run_files, run_space)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _answer(words: list[str], limit_s: float) -> str:
    """All that a command prints, a sentence if it took too long; its whole process group is gone afterwards."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(words, **pipes, text=True, errors="replace", start_new_session=True)
    try:
        return process.communicate(timeout=limit_s)[0]
    except subprocess.TimeoutExpired:
        end_group(process)
        return process.communicate()[0] + f"\nno answer within {limit_s:g} s"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")


def _space(subject: str, folder: Path, enough_GB: float, todo: str) -> Finding:
    free = shutil.disk_usage(folder).free / 1e9
    writable = os.access(folder, os.W_OK)
    found = f"{folder}: {free:.1f} GB free" + ("" if writable else ", but nothing can be written there")
    return Finding(subject, found, "" if writable and free >= enough_GB else todo, not writable)


def _durable_file(path: Path) -> float:
    """Seconds of publishing one."""
    begun = time.perf_counter()
    atomic.publish_bytes(path, bytes(TRIAL_BYTES))
    return time.perf_counter() - begun


def _taken_once(path: Path) -> bool:
    path.open("xb").close()
    try:
        path.open("xb").close()
    except FileExistsError:
        return True
    return False
