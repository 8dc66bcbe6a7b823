"""Progress of a training that stands alone: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from renkei.training.fit import Course

BAR_S, FIRST_LINE_S, LINES_S = 0.2, 1.0, 15.0  # between two looks; the first lines come sooner
RECENT = 20  # looks over which the rate is averaged


class TrainingBar:
    """Shows the loss, the errors, the rate and the time left; `tick` is cheap and may be called after every step."""

    def __init__(self, quiet: bool, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._quiet = quiet
        columns = (TextColumn("{task.fields[pace]}"), BarColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, speed_estimate_period=60.0)
        self._task = self._bar.add_task("", total=None, pace="")
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal and not quiet else None
        self._marks: list[tuple[float, int]] = []
        self._next, self._pause = 0.0, BAR_S if self._live else FIRST_LINE_S
        if self._live:
            self._live.start()

    def say(self, text: str) -> None:
        """One line of its own."""
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tick(self, course: Course, planned: int | None) -> None:
        """Look and show, if it is time.  planned: optimiser steps in all, None while nobody knows."""
        now = time.monotonic()
        if self._quiet or now < self._next:
            return
        self._next = now + self._pause
        self._pause = BAR_S if self._live else min(2 * self._pause, LINES_S)
        self._marks = [*self._marks, (now, course.steps)][-RECENT:]
        how_far, how_good = pace(course, planned, self._rate()), errors(course)
        if self._live:
            self._bar.update(self._task, completed=course.steps, total=planned, pace=how_far)
            self._live.update(Group(self._bar, Text(how_good)), refresh=True)
        elif course.steps > 1:
            self.say(", ".join(text for text in (how_far, how_good, self._left(course, planned)) if text))

    def close(self) -> None:
        """The terminal back."""
        if self._live:
            self._live.stop()

    def _rate(self) -> float | None:
        (begun, first), (now, last) = self._marks[0], self._marks[-1]
        return (last - first) / (now - begun) if now > begun else None

    def _left(self, course: Course, planned: int | None) -> str:
        rate = self._rate()
        return f"{(planned - course.steps) / rate:.0f} s left" if planned and rate else ""


def pace(course: Course, planned: int | None, rate: float | None) -> str:
    """E.g. "step 400 of 2500, 310 steps/s"."""
    return f"step {course.steps}" + (f" of {planned}" if planned else "") + (f", {rate:.3g} steps/s" if rate else "")


def errors(course: Course) -> str:
    """E.g. "loss 0.013, training 2.1 meV/atom 0.051 eV/A, validation 3.5 meV/atom 0.061 eV/A"; what is not known is left out."""
    parts = []
    if course.rows:
        row = course.rows[-1]
        parts += [f"loss {row['loss']:.3g}"] if "loss" in row else []
        virial = row.get("rmse_virial_meV_per_atom")
        parts += [_pair("training", row, "rmse_energy_meV_per_atom", "rmse_force_eV_per_A")]
        parts += [] if virial is None else [f"virial {virial:.3g} meV/atom"]
    if course.validations:
        parts += [_pair("validation", course.validations[-1], "energy_rmse_meV_per_atom", "force_rmse_eV_per_A")]
    return ", ".join(part for part in parts if part)


def _pair(name: str, row: dict[str, float], energy: str, force: str) -> str:
    return f"{name} {row[energy]:.3g} meV/atom {row[force]:.3g} eV/A" if energy in row and force in row else ""
