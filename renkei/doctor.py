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
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from protocol import delays, heartbeat, ownership, walltime
from protocol.errors import EnvironmentFailed, RenkeiError
from protocol.process import usable_cores
from protocol.settings import load
from renkei import peer_probe
from renkei.file_checks import Finding, run_clock, run_costs, run_files, run_locks, run_space, space
from renkei.local_pair import launcher
from sim_daemon.engines.espresso import end_group
from sim_daemon.system import read_system

MPI_LIMIT_S, TORCH_LIMIT_S = 60.0, 120.0  # two ranks that join, and an import over a slow file server
SCRATCH_GB = 1.0  # less free space is worth a word
SLOW_VIEW_S = 2.0  # between nodes
ENGINES = {"tblite": "pip install tblite", "pyscf": "pip install 'renkei[pyscf]'"}
JOIN = """
import os
from mpi4py import MPI
cores = sorted(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else []
print(f'joined {MPI.COMM_WORLD.Get_size()}; cores {cores}', flush=True)
"""
ALLOTTED = ("SLURM_CPUS_ON_NODE", "NCPUS", "PBS_NP", "PJM_NODE_CORE")  # cores of this job on this node, as schedulers tell them
TORCH = """
import json, torch
cuda = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps([torch.__version__, torch.version.cuda, [(one.name, one.total_memory) for one in cuda]]))
"""


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
        return _bound(words[0], re.findall(r"cores \[([\d, ]*)\]", said))
    found = f"2 ranks did not join under {words[0]}: {f'{len(joined)} worlds of one' if '1' in joined else _last_line(said)}"
    todo = "use the mpirun that belongs to mpi4py's MPI library (user guide, Install); --ranks 1 needs none"
    return Finding("MPI", found, todo, True)


def _bound(launcher_name: str, said: list[str]) -> Finding:
    """Two ranks have joined; said: the cores that each of them may use."""
    found, usable = f"2 ranks joined under {launcher_name}", usable_cores()
    sets = [{int(core) for core in cores.split(",") if core.strip()} for cores in said]
    if len(sets) != 2 or not all(sets):
        return Finding("MPI", found)
    if len(sets[0] | sets[1]) < min(2, usable):
        todo = "export HYDRA_BINDING=none, or pass --bind-to none to the launcher; else all ranks share one core"
        return Finding("MPI", f"{found}, both bound to core {sets[0].pop()}", todo)
    told = (
        f"not bound ({usable} cores)" if sets[0] == sets[1] else f"bound to {len(sets[0])} and {len(sets[1])} cores of their own"
    )
    return Finding("MPI", f"{found}, {told}")


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
    usable = usable_cores()
    allotted = {name: int(value) for name in ALLOTTED if (value := os.environ.get(name, "")).isdecimal()}
    few = min([usable, *allotted.values()])
    told = os.environ.get("OMP_NUM_THREADS", "")
    binding = os.environ.get("OMP_PROC_BIND", "")
    found = f"{usable} of {os.cpu_count()} usable" + "".join(f", {name} {count}" for name, count in allotted.items())
    found += f", OMP_NUM_THREADS {told or 'not set: 1 thread a rank'}" + (f", OMP_PROC_BIND {binding}" if binding else "")
    many = told.isdecimal() and int(told) > few
    return Finding("cores", found, f"more threads than the {few} cores here: lower OMP_NUM_THREADS" if many else "")


def run_cores(run: Path) -> Finding:
    """What the jobs of the run take here, where `renkei run` or the local scheduler starts them side by side."""
    from renkei.plugins import PLUGINS

    try:
        config = load(run, PLUGINS)
    except RenkeiError as error:
        return Finding("run cores", f"{error.where}: {error.what}", error.next or "`renkei check` says more", True)
    machine, simulators, usable = config.machine, len(config.science.simulators), usable_cores()
    ranks, threads = machine.simulator.ranks, machine.trainer.threads
    asked = simulators * ranks + threads
    found = f"{simulators} simulator(s) of {ranks} rank(s) and a trainer of {threads} thread(s), {usable} cores usable here"
    if machine.scheduler.name != "local" or asked <= usable:
        return Finding("run cores", found)
    return Finding("run cores", found, "they take turns: lower simulator.ranks, or give the jobs machines of their own")


def scratch() -> Finding:
    """Where engines write."""
    folder = Path(tempfile.gettempdir())
    return space("scratch", folder, SCRATCH_GB, "set TMPDIR to a folder with more space")


def batch_job() -> Finding:
    """Whether this is a batch job, and when it ends."""
    here = walltime.job()
    left, source = walltime.job_left_s(os.environ)
    if here is None and left is None:
        return Finding("batch job", "none: this is no job of Slurm, PBS or PJM")
    which = f"{here['scheduler']} job {here['id']}" if here else "a job"
    if left is None:
        return Finding(
            "batch job", f"{which}; nobody says when it ends", f"in the job script: export {walltime.JOB_END}=UNIX-TIME"
        )
    return Finding("batch job", f"{which} ends in {left:.0f} s, says {source}")


def run_engine(run: Path) -> Finding:
    """The engine of the run, by one label of the start structure."""
    from renkei.plugins import PLUGINS
    from renkei.verbs.check import one_call

    try:
        config = load(run, PLUGINS)
        label, seconds = one_call(config.science.engine, read_system(config), config.machine.simulator.ranks_per_engine)
    except RenkeiError as error:
        return Finding("run engine", f"{error.where}: {error.what}", error.next or "`renkei check` says more", True)
    return Finding("run engine", f"{config.science.engine.name}: {label.energy:.6f} eV in {seconds:.3f} s")


def other_node(run: Path, patience_s: float) -> Finding:
    """How fast another node, whose doctor runs at the same time, sees what is written here."""
    met = peer_probe.meet(run, patience_s)
    if met is None:
        todo = f"start `renkei doctor {run} --peer {patience_s:g}` on both nodes at the same time"
        return Finding("other node", f"nobody answered within {patience_s:g} s", todo)
    found = (
        f"{met.host} sees a file after {met.delay_s:.2f} s (slowest {met.slowest_s:.2f} s), its clock is {met.clock_s:+.1f} s off"
    )
    waits, usual_s = delays.of_run(run), heartbeat.STALE_PERIODS * heartbeat.PERIOD_S
    silence_s = max(usual_s, waits.silence_s)
    found += (
        f"; jobs that start now wait {waits.late_s:g} s for a late file, and {silence_s:g} s of silence mean that one is gone"
    )
    if met.slowest_s > delays.LONGEST_S / delays.MARGIN:
        return Finding("other node", found, "no time-out is long enough for such a view: put the run elsewhere", True)
    slow = met.delay_s > SLOW_VIEW_S
    return Finding("other node", found, "slow: poll less (channel.poll_s), and expect models later by as much" if slow else "")


MACHINE: tuple[Callable[[], Finding], ...] = (python, packages, names, kernels, mpi, trainer, engines, cores, scratch, batch_job)
RUN: tuple[Callable[[Path], Finding], ...] = (
    run_files,
    run_costs,
    run_locks,
    run_space,
    run_clock,
    run_cores,
    run_engine,
)


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
