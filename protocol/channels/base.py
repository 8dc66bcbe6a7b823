"""Contract of a channel: how messages reach this side's store.

To add one: a file here with `Settings` (one key is `poll_s`) and `build(settings, store, role, epoch, start_after=None) ->
Channel`, and tests/protocol/channels/test_NAME.py. The file name is the YAML name; a dotted name is a module of the user's own.
A transport for pairs that share no folder brings a `Link` alone (protocol/replica/link.py); docs/extending.md shows one.

Optional: `check(settings) -> str`, what `renkei check` says of it, or raises; `TWO_FOLDERS = True`: each side has a run folder
of its own; `USES_MPI = True`: besides, both daemons are in one MPI launch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Protocol

from protocol import settings
from protocol.errors import BadSetting, RenkeiError
from protocol.records import Packet, PeerState

Place = tuple[int, int]  # epoch, number


class Channel(Protocol):
    """At least once; a message's name is (kind, sender, epoch, number).

    In order per sender, except that nothing waits for a message which does not verify: where its bytes were only late, it comes
    after later ones.
    """

    def receive(self, timeout_s: float) -> list[Packet]:
        """New verified messages for this role; waits at most `timeout_s` for the first one."""
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
        """Let what is published reach the other side, within seconds; stop. The last call, after the last heartbeat."""
        ...


def load(name: str) -> ModuleType:
    """The module of a channel: load("files"), or a stranger's "my_lab.channel". BadSetting if there is none."""
    try:
        return import_module(name if "." in name else f"{__package__}.{name}")
    except ModuleNotFoundError as error:
        raise BadSetting(f"no channel called {name!r}", "channel.name", f"those that ship: {', '.join(_shipped())}") from error


def uses_mpi(name: str) -> bool:
    """Whether a channel is between programs of one MPI launch."""
    return getattr(load(name), "USES_MPI", False)


def told_to_use_mpi(run: Path) -> bool | None:
    """Whether the channel of a run folder is one of an MPI launch; None where its configuration cannot be read: told later."""
    try:
        return uses_mpi(settings.load(run, {}).machine.channel["name"])
    except (RenkeiError, KeyError):
        return None


def has_two_folders(name: str) -> bool:
    """Whether each side of a channel has a run folder of its own."""
    return getattr(load(name), "TWO_FOLDERS", False)


def refuse_one_folder(name: str, what: str, next: str) -> None:
    """BadSetting for something that a channel between two folders has no use for."""
    if has_two_folders(name):
        raise BadSetting(f"channel {name} joins two run folders, and {what}", "channel.name", next)


def _shipped() -> list[str]:
    return sorted(module.name for module in iter_modules([str(Path(__file__).parent)]) if module.name != "base")
