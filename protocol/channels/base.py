"""Contract of a channel: how messages reach this side's store.

To add one: a file here with `Settings` and `build(settings, store, role, epoch, start_after=None) -> Channel`, and
tests/protocol/channels/test_NAME.py. The file name is the YAML name; a dotted name is a module of the user's own.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Protocol

from protocol.errors import BadSetting
from protocol.records import Packet, PeerState


class Channel(Protocol):
    """At least once, in order; a message's name is (kind, sender, epoch, number)."""

    def receive(self, timeout_s: float) -> list[Packet]:
        """New verified messages for this role, in order per sender; waits at most `timeout_s` for the first one."""
        ...

    def acknowledge(self, packet: Packet) -> None:
        """Its effect, and that of all before it, is durable on this side."""
        ...

    def retracted(self) -> list[Packet]:
        """Messages received earlier that a later epoch of their sender did not adopt; each once."""
        ...

    def peers(self) -> dict[str, PeerState]:
        """State of every daemon on the other side, by name."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


def load(name: str) -> ModuleType:
    """The module of a channel: load("files"), or a stranger's "my_lab.channel"."""
    try:
        return import_module(name if "." in name else f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        raise BadSetting(f"no channel called {name!r}", "channel.name", "the one that ships is: files") from error
