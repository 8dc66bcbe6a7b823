"""A channel over a link: a thread keeps the copy of the other side's role, and the files channel reads it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from protocol.channels.base import Place
from protocol.channels.files import FilesChannel
from protocol.epoch import Epoch
from protocol.errors import RenkeiError
from protocol.records import Packet, PeerState
from protocol.replica.link import Link
from protocol.replica.replicator import Replicator
from protocol.replica.wire import run_mark
from protocol.store import Store

TURN_S = 0.2  # longest wait of one turn
MEET_S = 2.0  # at the end, for somebody to listen, where nobody has yet
FAREWELL_S = 10.0  # at the end, for what the other side lacks

log = logging.getLogger("renkei.channel")


class ReplicatedChannel:
    """See channels.base.Channel. What is received lies in this side's own store, durable, before it is handed out."""

    def __init__(
        self,
        link: Link,
        poll_s: float,
        store: Store,
        role: str,
        epoch: Epoch,
        start_after: Mapping[str, Place] | None = None,
        in_background: bool = True,
    ) -> None:
        """in_background: a thread of its own does the work; else `receive` and `close` do it, and nothing happens in between."""
        self._link, self._poll_s = link, poll_s
        self._files = FilesChannel(poll_s, store, role, epoch, start_after or {}, observed=False)
        self.replicator = Replicator(store.root, role, epoch.number, link, run_mark(store.root))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="channel", daemon=True) if in_background else None
        epoch.on_publication = self._published
        if self._thread is not None:
            self._thread.start()

    def receive(self, timeout_s: float) -> list[Packet]:
        """New verified messages, in order per sender; waits at most `timeout_s` for the first one."""
        if self._thread is not None:
            return self._files.receive(timeout_s)
        end = time.monotonic() + timeout_s
        while True:
            while self._turn(0.0):
                pass
            packets = self._files.receive(0.0)
            left = end - time.monotonic()
            if packets or left <= 0:
                return packets
            self._turn(min(self._poll_s, left, TURN_S))

    def acknowledge(self, packet: Packet) -> None:
        """Its effect is durable on this side."""
        self._files.acknowledge(packet)

    def retracted(self) -> list[Packet]:
        """Messages received earlier that a later epoch of their sender did not adopt; each once."""
        return self._files.retracted()

    def peers(self) -> dict[str, PeerState]:
        """State of every daemon on the other side, by name, as far as its heartbeats have come."""
        return self._files.peers()

    def close(self) -> None:
        """Send what the other side lacks, within FAREWELL_S, if it listens; then stop. Harmless if closed already."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._link.wake()
        if self._thread is None:
            self._work()
        else:
            self._thread.join(2 * FAREWELL_S)
        self._files.close()

    def _published(self) -> None:
        self.replicator.news = True
        self._link.wake()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._turn()
        now = time.monotonic()
        meet, end = now + MEET_S, now + FAREWELL_S
        self.replicator.news = True
        try:
            while (now := time.monotonic()) < end:
                if not self.replicator.sessions and (self.replicator.has_met or now > meet):
                    break  # nobody listens
                self._turn()
                if self.replicator.sessions and self.replicator.settled():
                    break
            self.replicator.farewell()
        except (RenkeiError, OSError):
            log.exception("what was published last may not have reached the other side; the next start sends it")
        finally:
            self._link.close()

    def _turn(self, timeout_s: float = TURN_S) -> bool:
        """One turn; True if our copy has grown. A defect, or a disk that fails, ends no daemon: it is told, and tried again."""
        try:
            grown = self.replicator.turn(timeout_s)
        except Exception:
            log.exception("the transport stumbled; it begins anew")
            self.replicator.sessions.clear()
            time.sleep(1.0)
            return False
        if grown:
            self._files.wake()
        return grown
