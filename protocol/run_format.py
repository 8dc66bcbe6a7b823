"""Which layout of run folders this version writes, and what it makes of another one (docs/protocol.md, versions).

1: no format.json; rows, triggers and epoch.json without check sums, no digest of trajectories.  2: with all of these.
"""

from __future__ import annotations

from pathlib import Path

from protocol import atomic, jsontext, names
from protocol.errors import Torn, VersionClash

FORMAT = 2
LIMIT = 2**16


def read(root: Path) -> int:
    """Format of a run folder; 1 where it does not say. Torn if format.json cannot be read."""
    path = root / names.FORMAT
    try:
        found = jsontext.loads(atomic.read_bytes(path, LIMIT), path).get("format")
    except (FileNotFoundError, NotADirectoryError):
        return 1
    if type(found) is not int or found < 1:
        raise Torn("does not say the run folder's format", str(path), "`renkei fsck RUN --repair` writes it anew")
    return found


def check(root: Path) -> int:
    """Format of a run folder that this version can work in; VersionClash for a newer one."""
    found = read(root)
    if found > FORMAT:
        what = f"the run folder is of format {found}, this version knows formats up to {FORMAT}"
        raise VersionClash(what, str(root), "use the version of renkei that wrote it, or a newer one")
    return found


def sign(root: Path) -> None:
    """Write the format into a run folder, durable. One of format 1 goes on as it is: nothing of it is written anew."""
    if check(root) < FORMAT:
        atomic.replace_bytes(root / names.FORMAT, content())


def content() -> bytes:
    """Bytes of format.json."""
    return jsontext.dumps({"format": FORMAT}) + b"\n"
