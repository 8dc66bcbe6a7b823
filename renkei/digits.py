"""Numbers as people read them: as many digits as the error allows."""

from __future__ import annotations

import math

NONE = "–"


def with_error(mean: float | None, error: float | None) -> tuple[str, str]:
    """A mean and its error with two digits of the error: ("−563.0371", "0.0042"); a dash where there is none."""
    if mean is None or not math.isfinite(mean):
        return NONE, NONE
    if error is None or not math.isfinite(error):
        return _signed(f"{mean:.6g}"), NONE
    if error <= 0:
        return _signed(f"{mean:.6g}"), "0"
    digits = min(max(1 - math.floor(math.log10(error)), 0), 12)
    return _signed(f"{mean:.{digits}f}"), f"{error:.{digits}f}"


def pair(mean: float | None, error: float | None) -> str:
    """E.g. "−563.0371 ± 0.0042", without the error where there is none."""
    value, width = with_error(mean, error)
    return value if width == NONE else f"{value} ± {width}"


def number(value: float | None, form: str) -> str:
    """A number in a format, a dash where there is none."""
    return NONE if value is None or not math.isfinite(value) else format(value, form)


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
