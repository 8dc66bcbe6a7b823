"""A site's own transport as one file: messages between two parts of a machine by a library in the style of WaitIO.

channel: {name: examples.waitio_channel, library: waitio, others: [0]}. The library's calls here: `isend(rank, data)` and
`irecv(rank, size)` give a request, `test(request)` is None until it is done, then the bytes that came. Sizes are agreed
beforehand, so that each message follows one of eight bytes that says how long it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from pydantic import Field

from protocol.channels.base import Place
from protocol.epoch import Epoch
from protocol.errors import EnvironmentFailed
from protocol.replica.channel import ReplicatedChannel
from protocol.replica.link import LARGEST, PENDING, Peer
from protocol.settings import Section
from protocol.store import Store

TWO_FOLDERS = True
LENGTH = 8  # bytes that say how long the next message is
PAUSE_S = 1e-3


class Settings(Section):
    """The library, and who is on the other side."""

    name: str = "examples.waitio_channel"
    library: str = "waitio"
    others: tuple[int, ...] = Field(min_length=1)  # ranks of the other side: the trainer's, or the simulators'
    poll_s: float = Field(0.5, gt=0, le=600)


def build(
    settings: Settings, store: Store, role: str, epoch: Epoch, start_after: Mapping[str, Place] | None = None
) -> ReplicatedChannel:
    """The channel of one daemon. Raises EnvironmentFailed without the library."""
    try:
        library = import_module(settings.library)
    except ImportError as error:
        raise EnvironmentFailed(f"there is no library {settings.library}", "channel", "load the module of this site") from error
    return ReplicatedChannel(WaitIoLink(library, settings.others), settings.poll_s, store, role, epoch, start_after)


class WaitIoLink:
    """See protocol.replica.link.Link; a peer is a rank."""

    def __init__(self, library: Any, others: tuple[int, ...]) -> None:
        self._library, self._others = library, others
        self._sends: dict[Peer, list[Any]] = {rank: [] for rank in others}
        self._lengths = {rank: library.irecv(rank, LENGTH) for rank in others}
        self._bodies: dict[Peer, Any] = {}
        self._woken = threading.Event()

    def peers(self) -> tuple[int, ...]:
        """All are greeted."""
        return self._others

    def send(self, peer: Peer, message: bytes) -> bool:
        """Begin to send; False if too much is under way."""
        self._sends[peer] = [request for request in self._sends[peer] if self._library.test(request) is None]
        if len(self._sends[peer]) >= 2 * PENDING:
            return False
        self._sends[peer] += [self._library.isend(peer, part) for part in (len(message).to_bytes(LENGTH), message)]
        return True

    def receive(self, timeout_s: float) -> tuple[Peer, bytes] | None:
        """The next message, from whom."""
        end = time.monotonic() + timeout_s
        while True:
            for rank in self._others:
                found = self._from(rank)
                if found is not None:
                    return rank, found
            left = end - time.monotonic()
            if left <= 0 or self._woken.wait(min(PAUSE_S, left)):
                self._woken.clear()
                return None

    def wake(self) -> None:
        """Let `receive` return."""
        self._woken.set()

    def close(self) -> None:
        """Let what was begun go out."""
        end = time.monotonic() + 1.0
        while any(self._library.test(request) is None for sends in self._sends.values() for request in sends):
            if time.monotonic() > end:
                return
            self.receive(PAUSE_S)

    def _from(self, rank: int) -> bytes | None:
        if rank not in self._bodies:
            length = self._library.test(self._lengths[rank])
            if length is None:
                return None
            self._bodies[rank] = self._library.irecv(rank, min(int.from_bytes(length), LARGEST))
        body: bytes | None = self._library.test(self._bodies[rank])
        if body is not None:
            del self._bodies[rank]
            self._lengths[rank] = self._library.irecv(rank, LENGTH)
        return body
