"""The look of every figure: colours, canvas, and the way to PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

COLOURS = ("#2166ac", "#d6702a", "#3b8e5a", "#7a4fa3", "#b2323c", "#5f6b76", "#c2a12b", "#1f9bb0")
GREY, INK = "#8a939c", "#2b3138"
IDLE = {"waiting": "#c9ced3", "imbalance": "#e0c3a8", "surrogate_imbalance": "#ecdccd"}
PALE = {**IDLE, "other": "#e6e9ec"}  # time that does nothing
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": "#4a525a",
    "ytick.color": "#4a525a",
    "axes.grid": True,
    "grid.color": "#e6e9ec",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=COLOURS),
}


@dataclass(frozen=True)
class Figure:
    """One picture of the report."""

    name: str  # file name without ending
    title: str
    caption: str
    png: bytes
    wide: bool = False  # takes the whole width of the page


@contextmanager
def canvas(rows: int, height: float, columns: int = 1, width: float = 6.0) -> Iterator[tuple[Canvas, list[Axes]]]:
    """A canvas of `rows` times `columns` axes, in inches; rows share their horizontal axis."""
    with rc_context(STYLE):
        # no pyplot: it would look for a display, and change the backend of a notebook that asks for a figure
        drawing = Canvas(figsize=(width, height), layout="constrained")
        axes = drawing.subplots(rows, columns, sharex=rows > 1, squeeze=False)
        yield drawing, list(axes.ravel())


def figure(drawing: Canvas, name: str, title: str, caption: str, wide: bool = False) -> Figure:
    """The finished picture."""
    image = io.BytesIO()
    drawing.savefig(image, format="png", dpi=130)
    return Figure(name, title, caption, image.getvalue(), wide)
