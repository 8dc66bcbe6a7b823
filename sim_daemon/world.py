"""The MPI world: rank 0 leads the chain, every rank evaluates its share of beads and walkers.

Shares are contiguous and results are gathered in order, and nothing is summed across ranks, so any number of ranks gives
the same bits. protocol/mpi.py joins the launch; nothing else of the simulator knows mpi4py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from kernels.arrays import Array
from protocol import mpi
from protocol.errors import RenkeiError

Handler = Callable[..., Any]
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
        # rank 0 books the wait for others here, by the handler that they run
        self.waiting: Callable[[str], AbstractContextManager[Any]] = lambda name: nullcontext()
        self.abandon: Callable[[], bool] = lambda: False

    def share(self, name: str, items: Sequence[Any] | Array, *extra: Any, stride: int = 1) -> list[Any]:
        """Handler `name`(share of the items, *extra) on every stride-th rank; the results in item order.

        Raises what a handler raised, and Abandoned when asked to between two calls.
        """
        workers = range(0, self.size, stride)
        # rounded up: no share is larger than rank 0's, which has something to do even if others have not
        bounds = [-(-len(items) * k // len(workers)) for k in range(len(workers) + 1)]
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
            with self.waiting(name):
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


def connect(program: str = "", threads: bool = False) -> World:
    """Join MPI if the process was launched by it; refuse a world smaller than the launcher's.

    program: what tells this simulator from other programs of the same launch.  threads: a channel's thread will call MPI too.
    Raises EnvironmentFailed (exit 5) when the launcher started several processes that cannot see each other.
    """
    if not mpi.launched():
        return World()
    joined = mpi.join(program, threads)
    import ase.parallel

    # once mpi4py is imported, ASE writes input files on rank 0 only: give each rank an ASE world of its own
    ase.parallel.world.comm = ase.parallel.DummyMPI()
    return World(joined.own)
