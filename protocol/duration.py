"""Lengths of time as people write them."""

from __future__ import annotations

import re

from protocol.errors import BadSetting

SECONDS = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def duration_s(text: str) -> float:
    """Seconds of "90", "90s", "10min", "2h", "1d" or "1:30:00". Raises BadSetting."""
    if re.fullmatch(r"\d+(:[0-5]?\d){1,2}", text):
        total = 0.0
        for part in text.split(":"):
            total = 60 * total + float(part)
        return total
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if found and (found[2] or "s") in SECONDS:
        return float(found[1]) * SECONDS[found[2] or "s"]
    raise BadSetting(f"not a length of time: {text!r}", "--for", "write e.g. 90s, 10min, 2h or 1:30:00")


def checked_duration(text: str) -> str:
    """The text itself, for settings. Raises ValueError."""
    try:
        duration_s(text)
    except BadSetting as error:
        raise ValueError("must be a length of time, e.g. 24:00:00 or 90min") from error
    return text
