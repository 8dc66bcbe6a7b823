"""From packets to the data set: reads, refuses, forgets what was retracted, and remembers how far it has come."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol import atomic, batch, names
from protocol.channels.base import Channel
from protocol.errors import ProtocolError
from protocol.records import Packet, Phase
from protocol.store import Epoch, Store
from train_daemon.dataset import Dataset


def name_of(packet: Packet) -> str:
    """Name of a batch: "simulator/epoch/number"."""
    return f"{packet.sender}/{packet.epoch}/{packet.number}"


@dataclass
class Intake:
    """Everything that comes in. A batch is consumed once, however often its packet is seen."""

    dataset: Dataset
    epoch: Epoch
    channel: Channel
    log: logging.Logger
    cursor: dict[str, list[int]] = field(default_factory=dict)  # sender -> [epoch, number] of its newest batch
    phases: dict[str, str] = field(default_factory=dict)  # sender -> phase of its newest batch
    _unacknowledged: list[Packet] = field(default_factory=list)
    _refused: set[str] = field(default_factory=set)

    def resume(self, consumed: Iterable[str], store: Store) -> None:
        """Rebuild the data set from batches that were consumed before, in the same order, without counting them anew."""
        packets: dict[str, Packet] = {}
        retracted: set[str] = set()
        for simulator in store.simulators():
            for entry in store.entries(names.simulator_role(simulator)):
                if entry.packet is not None and not entry.retracted:
                    packets[name_of(entry.packet)] = entry.packet
                elif entry.retracted:
                    retracted.add(f"{simulator}/{entry.epoch}/{entry.number}")
        consumed = list(consumed)
        for name in consumed:
            if name in packets:
                self._take(packets[name], again=True)
        lost = [name for name in consumed if name not in packets and name not in retracted]
        if lost:
            self.log.warning(
                "learned from before, but no longer there or damaged: batch %s; `renkei fsck` says more", ", ".join(lost)
            )
            self.epoch.journal.append({"event": "lost", "batches": lost})

    def receive(self, timeout_s: float) -> list[Packet]:
        """Packets that have come, unread. Waits up to timeout_s for the first."""
        return self.channel.receive(timeout_s)

    def take(self, packets: Iterable[Packet]) -> int:
        """Read packets into the data set and drop retracted batches; returns the number of batches that changed."""
        changed = sum(self._take(packet, again=False) for packet in packets)
        for packet in self.channel.retracted():
            if name_of(packet) in self.dataset.names:
                self.dataset.remove(name_of(packet))
                self.epoch.journal.append(
                    {"event": "retracted", "sender": packet.sender, "epoch": packet.epoch, "number": packet.number}
                )
                changed += 1
        return changed

    def acknowledge(self) -> None:
        """Tell the senders what is now in a durable checkpoint."""
        for packet in self._unacknowledged:
            self.channel.acknowledge(packet)
        self._unacknowledged.clear()

    def in_production(self) -> bool:
        """Whether the newest batch of every simulator at work, or of all if none is, says that its model is frozen."""
        at_work = [name for name, state in self.channel.peers().items() if state.works]
        return bool(self.phases) and all(self.phases.get(name) == Phase.PRODUCTION for name in at_work or self.phases)

    def _take(self, packet: Packet, again: bool) -> bool:
        name = name_of(packet)
        self._unacknowledged.append(packet)
        self.cursor[packet.sender] = [packet.epoch, packet.number]
        self.phases[packet.sender] = str(packet.facts.get("phase", ""))
        if name in self.dataset.names or name in self._refused:
            return False
        try:
            content = batch.load(atomic.read_verified(packet.path, packet.digest))
            train, heldout = self.dataset.add(name, content, packet.facts.get("elements", ()))
        except ProtocolError as error:
            self._refused.add(name)
            self.epoch.quarantine(packet.path, f"{packet.sender}-{packet.epoch:04d}-{packet.number:06d}", str(error))
            self.log.warning("batch %s refused: %s", name, error)
            return False
        if not again:
            row = {"event": "batch", "sender": packet.sender, "epoch": packet.epoch, "number": packet.number}
            self.epoch.journal.append({**row, "labels": len(content.labels), "train": train, "heldout": heldout})
        return True
