"""The MPI world: rank 0 leads the chain, every rank evaluates its share of beads and walkers.

Shares are contiguous and results are gathered in order, and nothing is summed across ranks, so any number of ranks gives
the same bits. The only file of the simulator that imports mpi4py.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from kernels.arrays import Array
from protocol.errors import EnvironmentFailed, RenkeiError

Handler = Callable[..., Any]
# what launchers tell each process of the number they started
SIZE_VARIABLES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS", "PJM_MPI_PROC")
# a waiting rank spins, then sleeps in short turns, then in longer ones, so that it leaves its core to others
SPIN_S, SOON_S = 3e-4, 2e-2
SHORT_PAUSE_S, LONG_PAUSE_S = 3e-5, 1e-3


class Abandoned(Exception):
    """The step in hand was given up on request; it will be repeated under the same number."""


class World:
    """Ranks that serve named handlers. Rank 0 calls `share`, `tell` and `stop`; the others call `serve`."""

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm
        self.rank: int = comm.Get_rank() if comm else 0
        self.size: int = comm.Get_size() if comm else 1
        self.handlers: Mapping[str, Handler] = {}
        self.waiting: Callable[[], AbstractContextManager[Any]] = nullcontext  # rank 0 books the wait for others here
        self.abandon: Callable[[], bool] = lambda: False

    def share(self, name: str, items: Sequence[Any] | Array, *extra: Any, stride: int = 1) -> list[Any]:
        """Handler `name`(share of the items, *extra) on every stride-th rank; the results in item order.

        Raises what a handler raised, and Abandoned when asked to between two calls.
        """
        workers = range(0, self.size, stride)
        bounds = [len(items) * k // len(workers) for k in range(len(workers) + 1)]
        busy = []
        for k, rank in enumerate(workers):
            part = items[bounds[k] : bounds[k + 1]]
            if rank and len(part):
                self._comm.send((name, part, extra), dest=rank)
                busy.append(rank)
        answers: dict[int, list[Any]] = {}
        try:
            answers[0] = list(self.handlers[name](items[: bounds[1]], *extra)) if bounds[1] else []
        finally:  # every rank is heard before anything is raised, or the next call would get this one's answers
            with self.waiting():
                answers |= self._gather(busy)
        if self.abandon():
            raise Abandoned
        return [x for rank in sorted(answers) for x in answers[rank]]

    def tell(self, name: str, *arguments: Any) -> None:
        """Handler `name`(*arguments) on every rank, this one too. Raises what a handler raised."""
        others = range(1, self.size)
        for rank in others:
            self._comm.send((name, None, arguments), dest=rank)
        try:
            self.handlers[name](*arguments)
        finally:
            self._gather(others)

    def serve(self) -> None:
        """Answer rank 0 until it says stop."""
        while True:
            name, items, extra = self._await(0)
            if name == "stop":
                return
            try:
                answer = self.handlers[name](*extra) if items is None else list(self.handlers[name](items, *extra))
            except RenkeiError as problem:
                self._comm.send((False, problem), dest=0)
            else:
                self._comm.send((True, answer), dest=0)

    def stop(self) -> None:
        """Release the other ranks."""
        for rank in range(1, self.size):
            self._comm.send(("stop", None, ()), dest=rank)

    def leave(self) -> None:
        """Release the ranks that serve, and leave MPI together, before the interpreter takes modules apart."""
        if self.rank == 0:
            self.stop()
        if self._comm:
            from mpi4py import MPI

            self._comm.Barrier()
            MPI.Finalize()

    def _gather(self, ranks: Iterable[int]) -> dict[int, Any]:
        answers = {rank: self._await(rank) for rank in ranks}
        for good, answer in answers.values():
            if not good:
                raise answer
        return {rank: answer for rank, (_, answer) in answers.items()}

    def _await(self, rank: int) -> Any:
        """A message from `rank`. A blocking MPI receive would burn the core that a neighbour needs."""
        began = time.monotonic()
        while not self._comm.Iprobe(source=rank):
            waited = time.monotonic() - began
            if waited > SPIN_S:
                time.sleep(SHORT_PAUSE_S if waited < SOON_S else LONG_PAUSE_S)
        return self._comm.recv(source=rank)


def connect() -> World:
    """Join MPI if the process was launched by it; refuse a world smaller than the launcher's.

    Raises EnvironmentFailed (exit 5) when the launcher started several processes that cannot see each other.
    """
    wanted = max((int(os.environ[v]) for v in SIZE_VARIABLES if os.environ.get(v, "").isdigit()), default=1)
    if wanted == 1 and not any(v in os.environ for v in SIZE_VARIABLES):
        return World()
    import mpi4py

    mpi4py.rc.thread_level = "funneled"
    import ase.parallel
    from mpi4py import MPI

    # once mpi4py is imported, ASE writes input files on rank 0 only: give each rank an ASE world of its own
    ase.parallel.world.comm = ase.parallel.DummyMPI()
    comm = MPI.COMM_WORLD
    if comm.Get_size() < wanted:
        raise EnvironmentFailed(
            f"the launcher started {wanted} processes, but the MPI library joins {comm.Get_size()}",
            next="use the mpirun that belongs to the installed MPI library (beside this Python for the mpich wheel)",
        )
    sys.excepthook = _abort(comm)
    return World(comm)


def _abort(comm: Any) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """An uncaught exception on one rank would hang the others: end the whole job."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(f"rank {comm.Get_rank()} of {comm.Get_size()} failed; ending the whole job", file=sys.stderr)
        traceback.print_exception(kind, error, trace)
        sys.stderr.flush()
        comm.Abort(error.exit_code if isinstance(error, RenkeiError) else 1)

    return hook
