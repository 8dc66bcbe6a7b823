"""The two forms of a file that Fortran writes: text, and sequential records, little endian.

In text, whitespace separates numbers and line breaks between them mean nothing, but a line for people is a line of its own.
A record stands between two copies of its length (int32); numbers are int32 and float64.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Protocol

import numpy as np

from kernels.arrays import Array


class Source(Protocol):
    """What is in a file, in its order; every method raises ValueError, `what` in the sentence, if it is not there."""

    def integers(self, count: int, what: str) -> list[int]:
        """So many whole numbers."""
        ...

    def reals(self, count: int, what: str) -> Array:
        """So many numbers, (count,)."""
        ...

    def names(self, count: int, what: str) -> tuple[str, ...]:
        """So many words; at most two letters each in a binary file."""
        ...

    def line(self, what: str) -> str:
        """A line for people, without blanks at its ends."""
        ...

    def mark(self, what: str) -> None:
        """True or false, of no interest."""
        ...

    def integers_before_reals(self, counts: Sequence[int], what: str) -> None:
        """Whole numbers of no interest, one more, then reals: where writers disagree on the count, text shows which it is."""
        ...

    def end(self) -> None:
        """Nothing may follow."""
        ...


class Text:
    """Text, with four numbers in a line or all of an array; a ValueError says what is not there."""

    def __init__(self, text: str) -> None:
        self.lines, self.at = text.split("\n"), 0

    def line(self, what: str) -> str:
        """The next line."""
        if self.at >= len(self.lines):
            raise ValueError(f"it ends before its {what}")
        self.at += 1
        return self.lines[self.at - 1].strip()

    def names(self, count: int, what: str) -> tuple[str, ...]:
        """Words of as many lines as it takes; the last one must end with them."""
        found: list[str] = []
        while len(found) < count:
            found += self.line(what).split()
        if len(found) > count:
            raise ValueError(f"its {what} should be {count} in number, but their last line goes on")
        return tuple(found)

    def integers(self, count: int, what: str) -> list[int]:
        """Words that are whole numbers."""
        found = self.names(count, what)
        try:
            return [int(token) for token in found]
        except ValueError:
            raise ValueError(f"its {what} should be whole numbers, got {_first_bad(found, int)!r}") from None

    def reals(self, count: int, what: str) -> Array:
        """Words that are numbers."""
        found = self.names(count, what)
        try:
            return np.array([_real(token) for token in found])
        except ValueError:
            raise ValueError(f"its {what} should be numbers, got {_first_bad(found, _real)!r}") from None

    def mark(self, what: str) -> None:
        """T or F."""
        word = self.line(what)
        if word.strip(".").upper() not in ("T", "F", "TRUE", "FALSE"):
            raise ValueError(f"its {what} should be T or F, got {word!r}")

    def integers_before_reals(self, counts: Sequence[int], what: str) -> None:
        """As many as stand before the next line with a decimal point, less one; else the first count."""
        found = sum(len(line.split()) for line in takewhile(lambda line: "." not in line, self.lines[self.at :])) - 1
        self.integers(found if found in counts else counts[0], what)

    def end(self) -> None:
        """Nothing but blanks may follow."""
        if any(line.strip() for line in self.lines[self.at :]):
            raise ValueError("it goes on after its end")


class Records:
    """A Fortran sequential file; a ValueError says what is not there."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def _record(self, size: int | None, what: str) -> bytes:
        length = int.from_bytes(self.data[self.at : self.at + 4], "little", signed=True)
        begin, end = self.at + 4, self.at + 4 + length
        if length < 0 or end + 4 > len(self.data):
            raise ValueError(f"it ends before its {what}, or is no Fortran file of a little-endian machine")
        if self.data[end : end + 4] != self.data[self.at : begin]:
            raise ValueError(f"its {what} are damaged: the record's two lengths differ")
        if size is not None and length != size:
            raise ValueError(f"its {what} take {length} bytes, expected {size}")
        self.at = end + 4
        return self.data[begin:end]

    def line(self, what: str) -> str:
        """A record of any length."""
        return self._record(None, what).decode("utf-8", "replace").strip()

    def names(self, count: int, what: str) -> tuple[str, ...]:
        """A record of two letters each."""
        record = self._record(2 * count, what).decode("ascii", "replace")
        return tuple(record[at : at + 2].strip() for at in range(0, 2 * count, 2))

    def integers(self, count: int, what: str) -> list[int]:
        """A record of int32."""
        return list(map(int, np.frombuffer(self._record(4 * count, what), "<i4")))

    def reals(self, count: int, what: str) -> Array:
        """A record of float64."""
        return np.frombuffer(self._record(8 * count, what), "<f8").copy()

    def mark(self, what: str) -> None:
        """A record of one int32."""
        self.integers(1, what)

    def integers_before_reals(self, counts: Sequence[int], what: str) -> None:
        """The first count."""
        self.integers(counts[0], what)

    def end(self) -> None:
        """No byte may follow."""
        if self.at != len(self.data):
            raise ValueError("it goes on after its end")


def _real(token: str) -> float:
    """A number as Fortran writes it: 1.5, 1.5E-3, 1.5D-3, 1.5-103."""
    return float(re.sub(r"(?<=[\d.])([+-]\d+)$", r"e\1", token.upper().replace("D", "E")))


def _first_bad(tokens: Sequence[str], convert: Any) -> str:
    for token in tokens:
        try:
            convert(token)
        except ValueError:
            return token
    return ""


def as_text(kind: str, content: Any) -> bytes:
    """One thing as text, in the fixed formats of aenet: 4(1x,I17) and 4(1x,ES24.17).

    kind: integers, reals, names (an array of them), line (text and its length in a binary file) or mark (a bool).
    """
    if kind == "line":
        return f"{content[0]}\n".encode()
    if kind == "mark":
        return b" T\n" if content else b" F\n"
    if kind == "names":
        return "".join(f"{name}\n" for name in content).encode()
    words = [f" {number:17d}" for number in content] if kind == "integers" else [_real_word(number) for number in content]
    return "".join("".join(words[at : at + 4]) + "\n" for at in range(0, len(words), 4)).encode()


def _real_word(number: float) -> str:
    """Fortran's 1x,ES24.17: the E gives way to a third digit of the exponent."""
    digits, _, exponent = f"{number:.17E}".partition("E")
    return f" {digits + ('E' + exponent if len(exponent) == 3 else exponent):>24}"


def as_record(kind: str, content: Any) -> bytes:
    """One thing as a record; arguments as in `as_text`."""
    if kind == "line":
        data = content[0].encode().ljust(content[1])
    elif kind == "names":
        data = b"".join(name.encode().ljust(2) for name in content)
    else:
        data = np.asarray(content, "<f8" if kind == "reals" else "<i4").tobytes()
    length = len(data).to_bytes(4, "little")
    return length + data + length
