"""Which surrogate drives the chain: newest published weights, checked before use."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.potentials import base as potentials
from protocol import weights
from protocol.channels.base import Channel
from protocol.errors import ProtocolError, WrongPeer
from protocol.records import Card, Packet
from sim_daemon.rank import Pace, SharedSurrogate
from sim_daemon.system import System
from sim_daemon.world import World


@dataclass(frozen=True)
class Known:
    """A generation that passed its checks."""

    packet: Packet
    card: Card


def check_card(card: Card, system: System, fingerprint: str, where: str) -> None:
    """Refuse weights that were made for something else. Raises WrongPeer with one sentence."""
    missing = sorted(set(int(z) for z in system.structure.numbers) - set(card.species))
    if missing:
        raise WrongPeer(
            f"weights for other species: atomic numbers {missing} of the system are not among {list(card.species)}", where
        )
    if (card.charge, card.multiplicity) != (system.charge, system.multiplicity):
        raise WrongPeer(
            f"weights for charge {card.charge}, multiplicity {card.multiplicity}, not {system.charge}, {system.multiplicity}",
            where,
        )
    if card.fingerprint != fingerprint:
        raise WrongPeer("weights learned from another engine or other engine settings", where)


def check_canary(card: Card, potential: potentials.Potential, where: str) -> None:
    """Recompute the canary with our own kernels. Raises ProtocolError when the numbers differ by more than the card allows."""
    canary = card.canary
    value = potential.evaluate(canary.positions, canary.numbers, canary.cell, canary.pbc)
    energy = float(np.max(np.abs(value.energy - canary.energy))) / len(canary.numbers)
    force = float(np.max(np.abs(value.forces - canary.forces)))
    if not (energy <= canary.energy_tolerance_eV_per_atom and force <= canary.force_tolerance_eV_per_A):
        raise ProtocolError(
            f"the canary is not reproduced: off by {energy:.1e} eV/atom and {force:.1e} eV/A", where, "retrain with this version"
        )


class Models:
    """Generations by digest; loads one at a time on every rank."""

    def __init__(self, world: World, channel: Channel, system: System, fingerprint: str, log: logging.Logger) -> None:
        self._world, self._channel, self._system, self._fingerprint, self._log = world, channel, system, fingerprint, log
        self._known: dict[str, Known] = {}
        self._loaded = ""
        self._pace = Pace()
        self.newest: Known | None = None
        self.sources: list[Callable[[str], Packet | None]] = []  # where generations are looked up by digest
        self.refuse: Callable[[Packet, str], object] = lambda packet, reason: None

    def look(self) -> list[dict[str, Any]]:
        """Take what has arrived; returns the ledger's `model` rows."""
        rows = []
        for packet in self._channel.receive(0.0):
            try:
                self._take(packet)
                row = {"used": True, "reason": ""}
            except (ProtocolError, ValueError) as problem:
                self.refuse(packet, str(problem))
                self._log.warning("generation %d is refused: %s", packet.number, problem)
                row = {"used": False, "reason": str(problem)}
            self._channel.acknowledge(packet)
            rows.append({"event": "model", "generation": packet.number, "digest": packet.digest, **row})
        return rows

    def _take(self, packet: Packet) -> None:
        card = weights.verify(packet.path, packet.digest)
        check_card(card, self._system, self._fingerprint, str(packet.path))
        check_canary(card, potentials.load(card.format, packet.path, card.generation), str(packet.path))
        known = self._known[packet.digest] = Known(packet, card)
        # one whose bytes were late may come after its successor
        if self.newest is None or packet.place > self.newest.packet.place:
            self.newest = known
        self._log.info("generation %d has arrived and reproduces its canary", card.generation)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def digest(self, generation: int) -> str:
        """Digest of a generation that this run knows; "" for -1."""
        return next((d for d, known in self._known.items() if known.card.generation == generation), "")

    def _find(self, digest: str) -> Known:
        """A generation that a schedule names, though the channel did not bring it: of another run, or of an abandoned epoch."""
        packet = next((p for find in self.sources if (p := find(digest)) is not None), None)
        if packet is None:
            what = f"the generation with digest {digest[:12]} of the schedule is not in the run folder"
            raise ProtocolError(what, next="restore the train folder of that run")
        card = weights.verify(packet.path, packet.digest)
        check_card(card, self._system, self._fingerprint, str(packet.path))
        self._known[digest] = Known(packet, card)
        return self._known[digest]

    def surrogate(self, digest: str) -> SharedSurrogate | None:
        """The surrogate of a digest, loaded on every rank; None for "" (first principles alone)."""
        if not digest:
            return None
        known = self._known.get(digest) or self._find(digest)
        card = known.card
        if self._loaded != digest:
            self._world.tell("load", digest, card.format, known.packet.path, card.generation)
            self._loaded = digest
        return SharedSurrogate(self._world, self._pace, digest, card.generation, card.species, card.cutoff_A)
