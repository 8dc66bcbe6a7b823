"""Append-only JSON lines, each with its check sum; a line torn by a crash is cut off when the file is opened again, and
passed over by readers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol import atomic, jsontext
from protocol.errors import Torn

LONGEST = 2**24  # bytes of a row


class Journal:
    """The ledger of one epoch; one writer."""

    def __init__(self, path: Path) -> None:
        """Open for appending, made if missing; a torn tail is repaired; Torn if rows follow a damaged line."""
        self.path = path
        self._fd = atomic.open_append(path)
        data = atomic.read_bytes(path)
        rows, good, damaged = parse(data)
        if damaged:
            atomic.close(self._fd)
            raise _damaged(path, damaged)
        if good < len(data):
            atomic.cut(self._fd, good, path)
        atomic.sync(self._fd, path)
        self._rows = len(rows)
        self._safe = good  # bytes known to be on disk
        self._loose = b""  # the bytes after them
        self._failed = False  # True: the file may end otherwise than with these

    @property
    def rows_written(self) -> int:
        """Rows in this file."""
        return self._rows

    def append(self, row: Mapping[str, Any], durable: bool = False) -> None:
        """Append one row; nan and infinity become null. durable: it and all rows before it are on disk when this returns.

        Whole or not at all: after an error the row does not count, and the next call mends the file first.
        """
        self._mend()
        line = jsontext.seal(jsontext.dumps(row)) + b"\n"
        self._failed = True
        atomic.append(self._fd, line, self.path)
        if durable:
            atomic.sync(self._fd, self.path)
        self._failed = False
        self._rows += 1
        self._loose += line
        if durable:
            self._keep()

    def sync(self) -> None:
        """Put all rows on disk."""
        self._mend()
        self._failed = True
        atomic.sync(self._fd, self.path)
        self._failed = False
        self._keep()

    def close(self) -> None:
        """Put all rows on disk and close; harmless if closed already."""
        if self._fd >= 0:
            self.sync()
            fd, self._fd = self._fd, -1
            atomic.close(fd)

    def _keep(self) -> None:
        self._safe, self._loose = self._safe + len(self._loose), b""

    def _mend(self) -> None:
        """After a failure: half a row may stand at the end, and a failed fsync may have lost rows that it did not name."""
        if self._failed:
            atomic.cut(self._fd, self._safe, self.path)
            atomic.append(self._fd, self._loose, self.path)
            self._failed = False


def read(path: Path) -> list[dict[str, Any]]:
    """All rows; a torn tail is passed over, no file is no rows; Torn if rows follow a damaged line."""
    rows, _, damaged = parse(_bytes(path))
    if damaged:
        raise _damaged(path, damaged)
    return rows


def read_prefix(path: Path) -> list[dict[str, Any]]:
    """The rows before the first damaged line."""
    return parse(_bytes(path))[0]


def first(path: Path) -> dict[str, Any] | None:
    """The first row; None if there is none that can be read."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST)
    except FileNotFoundError:
        return None
    return _row(line[:-1]) if line.endswith(b"\n") else None


def parse(data: bytes) -> tuple[list[dict[str, Any]], int, int | None]:
    """Rows before the first damaged line, the number of bytes they take, and that line's number if good rows follow it."""
    rows: list[dict[str, Any]] = []
    good = 0
    lines = data.split(b"\n")
    for index, line in enumerate(lines[:-1]):  # what follows the last newline is half a line, or empty
        row = _row(line)
        if row is None:
            followed = any(_row(later) is not None for later in lines[index + 1 : -1])
            return rows, good, index + 1 if followed else None
        rows.append(row)
        good += len(line) + 1
    return rows, good, None


def _damaged(path: Path, line: int) -> Torn:
    return Torn(f"line {line} is damaged, rows follow it", f"{path}:{line}", "restore the file from a backup")


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        return jsontext.loads(line, "")
    except Torn:
        return None


def _bytes(path: Path) -> bytes:
    try:
        return atomic.read_bytes(path)
    except FileNotFoundError:
        return b""
