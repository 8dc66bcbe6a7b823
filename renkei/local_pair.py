"""Both jobs as child processes of this machine: start, watch over, end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from protocol import names
from protocol.epoch import refuse_if_alive
from protocol.errors import EnvironmentFailed, Exit
from protocol.heartbeat import PERIOD_S
from protocol.store import Store
from renkei.prepare import put_control

GRACE_S = 60.0  # from STOP to SIGTERM: a first-principles call and a training step must be able to end
KILL_S = 10.0  # from SIGTERM to SIGKILL
POLL_S = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Child:
    """One daemon: what it is called, its process (leader of a group of its own), where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def is_trainer(self) -> bool:
        """Whether this is the trainer."""
        return self.name == names.TRAIN

    def last_words(self) -> str:
        """The daemon's own last sentence, or else the last line of its output."""
        lines = [line.strip() for line in self.output.read_text("utf-8", errors="replace").splitlines() if line.strip()]
        own = [line for line in lines if line.startswith(("sim_daemon: ", "train_daemon: "))]
        # an MPI launcher frames a failure with lines of its own
        others = [line for line in lines if not line.startswith(("=", "YOUR APPLICATION", "This typically", "Please see"))]
        return next(reversed(own or others), "it wrote nothing")


@dataclass(frozen=True)
class Outcome:
    """How the pair ended."""

    code: int
    interrupted: bool
    sentence: str  # what went wrong; "" if nothing


def start(
    run: Path, simulators: Sequence[str], ranks: int, sim_words: Sequence[str], train_words: Sequence[str] | None
) -> list[Child]:
    """Start the simulators (an MPI job of `ranks` each) and the trainer, unless its words are None, on a prepared run folder."""
    children = []
    for name in simulators:
        command = [sys.executable, "-m", "sim_daemon", str(run), "--name", name, *sim_words]
        children.append(_start(names.simulator_role(name), [*launcher(ranks), *command], run))
    if train_words is not None:
        children.append(_start(names.TRAIN, [sys.executable, "-m", "train_daemon", str(run), *train_words], run))
    return children


def refuse_living(run: Path, roles: Sequence[str]) -> None:
    """RoleTaken if a daemon of one of these roles lives: what is started beside it would fail, and end the others."""
    store = Store(run)
    for role in roles:
        records = store.epochs(role)
        if records:
            refuse_if_alive(records[-1], PERIOD_S, store.delays.view_s)


def watch_over(run: Path, children: Sequence[Child], on_tick: Callable[[], None]) -> Outcome:
    """Wait until the simulators have ended, then end the trainer; a signal or a dead daemon ends all children.

    The trainer stays as long as a simulator that somebody else started works. Of jobs that are no children none is ended.
    """
    asked: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        failed: Child | None = None
        store = Store(run)
        while not asked and failed is None and _wanted(store, children):
            on_tick()
            time.sleep(POLL_S)
            failed = next((c for c in children if c.process.poll() not in (None, 0)), None)
        _end(run, children, lambda: len(asked) > 1, on_tick)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        return Outcome(int(Exit.INTERRUPTED if asked[0] == signal.SIGINT else Exit.DONE), True, "")
    failed = failed or next((c for c in children if c.process.returncode), None)
    if failed is None:
        return Outcome(int(Exit.DONE), False, "")
    code = failed.process.returncode
    who = "trainer" if failed.is_trainer else "simulator"
    if code < 0:  # its last words are no reason
        what = f"the {who} was ended by signal {-code} ({failed.output}); the same command goes on from there"
    else:
        what = f"the {who} ended with exit code {code}: {failed.last_words()} ({failed.output})"
    return Outcome(code if code > 0 else int(Exit.DEFECT), False, what)


def _wanted(store: Store, children: Sequence[Child]) -> bool:
    """Whether a child works that should: a simulator, or the trainer of another's simulators, or one that is alone."""
    works = [child for child in children if child.process.poll() is None]
    if any(not child.is_trainer for child in works) or not works:
        return bool(works)
    others = {names.simulator_role(name) for name in store.simulators()} - {child.name for child in children}
    return len(children) == 1 or any(store.works(role) for role in others)


def _end(run: Path, children: Sequence[Child], in_haste: Callable[[], bool], on_tick: Callable[[], None]) -> None:
    """STOP, then SIGTERM, then SIGKILL for those that are left."""
    for child in children:
        if child.process.poll() is None:
            put_control(run, names.control(names.STOP, names.sender(child.name)))
    for number, patience_s in ((0, GRACE_S), (signal.SIGTERM, KILL_S), (signal.SIGKILL, KILL_S)):
        left = [child for child in children if child.process.poll() is None]
        for child in left if number else []:
            _signal_group(child, number)
        until = time.monotonic() + patience_s
        while any(c.process.poll() is None for c in left) and time.monotonic() < until and not (in_haste() and not number):
            on_tick()
            time.sleep(POLL_S)


def _signal_group(child: Child, number: int) -> None:
    try:
        os.killpg(child.process.pid, number)
    except ProcessLookupError:
        return


def _start(role: str, command: Sequence[str], run: Path) -> Child:
    output = run / names.JOBS / f"{role.replace('/', '-')}.out"
    output.parent.mkdir(parents=True, exist_ok=True)
    with open(output, "wb") as sink:  # a group of its own: Ctrl-C in the terminal reaches us alone, and we end both in order
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
        )
    return Child(role, process, output)


def _environment() -> dict[str, str]:
    """Ours, and the place of our packages: in a checkout the children may run in another folder."""
    places = [str(Path(__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(place for place in places if place), "PYTHONUNBUFFERED": "1"}


def launcher(ranks: int) -> list[str]:
    """The words that start so many ranks of one job, none for one rank. Raises EnvironmentFailed without an mpirun."""
    if ranks == 1:
        return []
    beside = Path(sys.executable).parent / "mpirun"  # of the mpich wheel: the MPI that mpi4py finds first
    mpirun = str(beside) if beside.is_file() else shutil.which("mpirun")
    if mpirun is None:
        raise EnvironmentFailed("there is no mpirun", next="pip install mpich, or --ranks 1")
    return [mpirun, "-n", str(ranks)]
