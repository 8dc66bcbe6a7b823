"""Several programs in one MPI launch: each gets a world of its own, and the first processes of all of them one in common."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from protocol.errors import EnvironmentFailed, RenkeiError

LAST_WORDS_S = 0.5  # for the launcher to pass on what a failing process has said, before it kills all of them
# what launchers tell each process of the number they started
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS", "PJM_MPI_PROC")


@dataclass(frozen=True)
class Joined:
    """What this process is part of."""

    everything: Any  # communicator of the whole launch
    own: Any  # of the processes of the same program
    leaders: Any  # of the first process of every program; None elsewhere, and where there is one program
    programs: tuple[str, ...]  # by rank in `leaders`
    threads: bool  # whether every thread may call MPI


_joined: list[Joined] = []


def launched() -> bool:
    """Whether an MPI launcher has started this process."""
    return any(name in os.environ for name in SIZE_VARIABLES)


def started() -> int:
    """How many processes the launcher says it has started; 1 without one."""
    return max((int(os.environ[v]) for v in SIZE_VARIABLES if os.environ.get(v, "").isdigit()), default=1)


def join(program: str, threads: bool) -> Joined:
    """Join MPI; collective over the whole launch, once. program: processes with the same word belong together.

    threads: ask for calls from several threads.  From here on an exception that nobody catches ends the whole launch.
    Raises EnvironmentFailed (exit 5) when the launcher started several processes that cannot see each other.
    """
    import mpi4py

    mpi4py.rc.thread_level = "multiple" if threads else "funneled"
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    wanted = started()
    if world.Get_size() < wanted:
        raise EnvironmentFailed(
            f"the launcher started {wanted} processes, but the MPI library joins {world.Get_size()}",
            next="use the mpirun that belongs to the installed MPI library (beside this Python for the mpich wheel)",
        )
    words = world.allgather(program)
    programs = tuple(dict.fromkeys(words))
    own = world.Split(programs.index(program), world.Get_rank())
    leads = len(programs) > 1 and own.Get_rank() == 0
    leaders = world.Split(0 if leads else MPI.UNDEFINED, world.Get_rank())
    _joined[:] = [Joined(world, own, leaders if leads else None, programs, MPI.Query_thread() >= MPI.THREAD_MULTIPLE)]
    sys.excepthook = _abort(world)
    return _joined[0]


def joined() -> Joined | None:
    """What `join` returned in this process; None before it."""
    return _joined[0] if _joined else None


def fail(code: int) -> None:
    """End a launch of several programs with an exit code: none of them should wait for one that has failed."""
    if _joined and len(_joined[0].programs) > 1:
        _end(_joined[0].everything, code)


def _abort(comm: Any) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """An uncaught exception on one rank would hang the others: end the whole launch."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        said = f"rank {comm.Get_rank()} of {comm.Get_size()} failed; ending the whole job\n"
        sys.stderr.write(said + "".join(traceback.format_exception(kind, error, trace)))
        _end(comm, error.exit_code if isinstance(error, RenkeiError) else 1)

    return hook


def _end(comm: Any, code: int) -> None:
    """Kill the launch once its launcher has passed on what was said."""
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(LAST_WORDS_S)
    comm.Abort(code)
