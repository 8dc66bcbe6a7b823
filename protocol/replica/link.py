"""Contract of a link: messages of bytes to and from other daemons. All that a transport has to bring; docs/extending.md."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Protocol

from protocol.replica.wire import LARGEST

__all__ = ["LARGEST", "PENDING", "Link", "Peer"]

Peer = Hashable  # a link's own name of the other end of a connection
PENDING = 64  # messages to one peer that a link may hold back; the next one is refused


class Link(Protocol):
    """Whole messages of at most LARGEST bytes, in order while a connection lasts.

    They may be lost or come twice: the copy asks again. One thread calls everything but `wake`.
    """

    def peers(self) -> Iterable[Peer]:
        """Those to greet first: empty for a side that is called."""
        ...

    def send(self, peer: Peer, message: bytes) -> bool:
        """Hand over a message without waiting; False if that cannot be done now, and the message is dropped."""
        ...

    def receive(self, timeout_s: float) -> tuple[Peer, bytes] | None:
        """The next message and who sent it; None after `timeout_s`, or when woken."""
        ...

    def wake(self) -> None:
        """End a `receive` that waits; from any thread."""
        ...

    def close(self) -> None:
        """Let go of everything, within a second or two."""
        ...
