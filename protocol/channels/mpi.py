"""For both daemons in one MPI launch of several programs: `mpiexec -n 32 python -m sim_daemon A : -n 1 python -m train_daemon B`.

Messages between the first processes of the programs, with non-blocking calls, on a communicator of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from protocol import mpi, names
from protocol.channels.base import Place
from protocol.epoch import Epoch
from protocol.errors import EnvironmentFailed
from protocol.mpi import Joined
from protocol.replica.channel import ReplicatedChannel
from protocol.replica.link import LARGEST, PENDING, Peer
from protocol.settings import Section
from protocol.store import Store

TWO_FOLDERS = True
USES_MPI = True
TAG = 7
SPIN_S = 1e-3  # how long a waiting side asks again and again, before it sleeps in growing turns
SHORT_PAUSE_S, LONG_PAUSE_S = 1e-4, 5e-3
DRAIN_S = 2.0  # at the end


class Settings(Section):
    """Nothing to choose: the launch says who takes part."""

    name: str = "mpi"
    poll_s: float = Field(0.5, gt=0, le=600)  # time between two looks at this side's own folder


def build(
    settings: Settings, store: Store, role: str, epoch: Epoch, start_after: Mapping[str, Place] | None = None
) -> ReplicatedChannel:
    """The channel of one daemon, whose launch must have been joined (protocol/mpi.py). Raises EnvironmentFailed."""
    joined = mpi.joined()
    if joined is None or joined.leaders is None:
        raise EnvironmentFailed(
            "channel mpi: this MPI launch has no other program in it",
            "channel",
            "start both: mpiexec -n 32 python -m sim_daemon RUN : -n 1 python -m train_daemon OTHER_RUN",
        )
    link = MpiLink(joined, role)
    return ReplicatedChannel(link, settings.poll_s, store, role, epoch, start_after, in_background=joined.threads)


class MpiLink:
    """See replica.link.Link; a peer is a rank among the leaders."""

    def __init__(self, joined: Joined, role: str) -> None:
        """role: of this daemon; it greets those of the other kind."""
        from mpi4py import MPI

        self._mpi, self._comm = MPI, joined.leaders
        trainer = role == names.TRAIN
        own = self._comm.Get_rank()
        ranks = [rank for rank, program in enumerate(joined.programs) if rank != own]
        self._peers = [rank for rank in ranks if (joined.programs[rank] == names.TRAIN) != trainer]
        self._pending: dict[Peer, list[Any]] = {}
        self._woken = threading.Event()

    def peers(self) -> list[int]:
        """Ranks of the other side's programs."""
        return self._peers

    def send(self, peer: Peer, message: bytes) -> bool:
        """Begin to send; False if too much is still on its way."""
        under_way = self._under_way(peer)
        if len(under_way) >= PENDING:
            return False
        under_way.append((self._comm.Isend([message, self._mpi.BYTE], dest=peer, tag=TAG), message))  # kept until it has gone
        return True

    def receive(self, timeout_s: float) -> tuple[Peer, bytes] | None:
        """The next message, from whom."""
        status, began, pause = self._mpi.Status(), time.monotonic(), SHORT_PAUSE_S
        while (found := self._comm.Improbe(source=self._mpi.ANY_SOURCE, tag=TAG, status=status)) is None:
            waited = time.monotonic() - began
            if waited >= timeout_s:
                return None
            if waited > SPIN_S:
                if self._woken.wait(min(pause, timeout_s)):
                    self._woken.clear()
                    return None
                pause = min(2 * pause, LONG_PAUSE_S)
        size = status.Get_count(self._mpi.BYTE)
        body = bytearray(size)
        found.Recv([body, self._mpi.BYTE])
        return (status.Get_source(), bytes(body)) if size <= LARGEST else None

    def wake(self) -> None:
        """Let `receive` return; from any thread."""
        self._woken.set()

    def close(self) -> None:
        """Take and drop what still comes until our own messages have gone: nothing may be half sent when MPI ends."""
        end = time.monotonic() + DRAIN_S
        while any(self._under_way(peer) for peer in list(self._pending)) and time.monotonic() < end:
            self.receive(0.05)

    def _under_way(self, peer: Peer) -> list[Any]:
        left = [pair for pair in self._pending.get(peer, []) if not pair[0].Test()]
        self._pending[peer] = left
        return left
