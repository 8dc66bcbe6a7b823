"""Messages between two copies of a run folder: a line of JSON, then raw bytes. docs/protocol.md, "Two folders", lists them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from protocol import jsontext, names, settings
from protocol.errors import RenkeiError, Torn
from protocol.scan import LIMIT

VERSION = 1
BODY = 2**19  # bytes of a message after its line
HEAD = 2**19
LARGEST = HEAD + BODY  # a link need not carry more in one message
LARGEST_ITEM = 2**30  # bytes of one publication
MOST_FILES = 64  # of one publication
MOST_ITEMS = 32  # of one offer
WORD = 300  # letters of a sentence from the other side that are shown

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_HIGHEST = 10**12


@dataclass(frozen=True)
class File:
    """A file of a publication; its name is relative to the epoch's folder."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class Item:
    """What appears in one step: a start (number -1) or a message; its files in the order in which they become durable."""

    epoch: int
    number: int
    files: tuple[File, ...]


@dataclass(frozen=True)
class Held:
    """What a copy has of one epoch: its id, its last message (-1: none), and bytes of its journal."""

    id: str
    last: int = -1
    rows: int = 0


@dataclass(frozen=True)
class Message:
    """One message: `kind` of docs/protocol.md, its fields, its bytes."""

    kind: str
    fields: Mapping[str, Any]
    body: bytes


def encode(kind: str, body: bytes = b"", **fields: Any) -> bytes:
    """Bytes of a message."""
    return jsontext.dumps({"m": kind, **fields}) + b"\n" + body


def decode(data: bytes) -> Message:
    """The message in `data`; Torn if it is none."""
    end = data.find(b"\n", 0, HEAD)
    if len(data) > LARGEST or end < 0 or len(data) - end - 1 > BODY:
        raise Torn("not a message of this program", "channel")
    fields = jsontext.loads(data[:end], "channel")
    kind = fields.pop("m", None)
    if not isinstance(kind, str):
        raise Torn("a message without a kind", "channel")
    return Message(kind, fields, data[end + 1 :])


def whole(fields: Mapping[str, Any], key: str, lowest: int = 0) -> int:
    """A whole number of a message; Torn if it is none, or lower than `lowest`."""
    value = fields.get(key)
    if type(value) is not int or not lowest <= value <= _HIGHEST:
        raise Torn(f"{key} of a message is no number that it may be", "channel")
    return value


def dump_held(held: Mapping[int, Held]) -> list[list[Any]]:
    """What a copy has, as JSON."""
    return [[epoch, one.id, one.last, one.rows] for epoch, one in sorted(held.items())]


def parse_held(value: Any) -> dict[int, Held]:
    """What a copy of the other side has; Torn for anything else."""
    found: dict[int, Held] = {}
    try:
        for epoch, id, last, rows in value:
            if not all(type(n) is int and n <= _HIGHEST for n in (epoch, last, rows)) or not _ID.fullmatch(id):
                raise ValueError
            found[epoch] = Held(id, max(last, -1), max(rows, 0))
    except (TypeError, ValueError) as error:
        raise Torn("what the other side says that it has is no list of epochs", "channel") from error
    return found


def dump_items(items: list[Item]) -> list[list[Any]]:
    """An offer, as JSON."""
    return [[item.epoch, item.number, [[file.name, file.size, file.digest] for file in item.files]] for item in items]


def parse_items(value: Any, kind: str) -> list[Item]:
    """An offer of a role that publishes `kind`. Torn where a name, number or size is not what the protocol has: no path
    can point out of the role's folder, and no item is larger than LARGEST_ITEM."""
    try:
        items = [Item(epoch, number, tuple(File(*file) for file in files)) for epoch, number, files in value[:MOST_ITEMS]]
        for item in items:
            _check(item, kind)
    except (TypeError, ValueError, LookupError) as error:
        raise Torn(f"an offer that is none ({error})", "channel") from error
    return items


def _check(item: Item, kind: str) -> None:
    """ValueError where an item is not as it must be."""
    if type(item.epoch) is not int or type(item.number) is not int or not (0 < item.epoch < 10**9 and -1 <= item.number < 10**9):
        raise ValueError("a place that no message has")
    for file in item.files:
        if type(file.size) is not int or file.size < 0 or not (isinstance(file.digest, str) and _DIGEST.fullmatch(file.digest)):
            raise ValueError("a file without size or digest")
    if item.files and item.files[-1].size > LIMIT:
        raise ValueError(f"a trigger of more than {LIMIT} bytes")
    if sum(file.size for file in item.files) > LARGEST_ITEM or len(item.files) > MOST_FILES:
        raise ValueError(f"more than {LARGEST_ITEM} bytes or {MOST_FILES} files")
    given = [file.name for file in item.files]
    if len(set(given)) != len(given) or not all(isinstance(name, str) for name in given):
        raise ValueError("a name twice, or none")
    if item.number < 0:
        good = given[-1:] == [names.EPOCH_JSON] and set(given) <= {names.EPOCH_JSON, names.RESOLVED}
    else:
        payload, trigger = names.payload(kind, item.number), str(names.trigger(kind, item.number))
        inner = [Path(name) for name in given[:-1]]
        if kind == "weights":
            plain = all(str(payload / path.name) == str(path) and _FILE.fullmatch(path.name) for path in inner)
            good = given[-1:] == [trigger] and given[-2:-1] == [str(payload / names.CARD)] and plain
        else:
            good = given == [str(payload), trigger]
    if not good:
        raise ValueError("names that such a message has not")


def sentence(text: Any) -> str:
    """A sentence of the other side, fit to be shown."""
    return "".join(letter for letter in str(text)[:WORD] if letter.isprintable())


def run_mark(root: Path) -> str:
    """What must be equal on both sides, as a digest: system and structure that run.yaml has for all; "" if it cannot be read."""
    try:
        text = yaml.safe_load(settings.resolved(settings.load(root, {})))
        system = {key: value for key, value in text["science"]["system"].items() if key != "structure"}
        same = [system, text["files"]["structure_sha256"]]
    except (RenkeiError, OSError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return ""
    return hashlib.sha256(jsontext.dumps({"run": same})).hexdigest()
