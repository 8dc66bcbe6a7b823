"""Live progress of both jobs from their heartbeats: a table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from protocol import names
from protocol.store import Store

TABLE_S, LINES_S = 0.5, 15.0  # between two looks


class Progress:
    """Shows a run while it goes on; `tick` is cheap and may be called often."""

    def __init__(self, run: Path, roles: Sequence[str], quiet: bool, console: Console | None = None) -> None:
        self._store, self._roles, self._quiet = Store(run), roles, quiet
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal and not quiet else None
        self._next = time.monotonic()
        self._said: list[tuple[str, str]] = []
        if self._live:
            self._live.start()

    def tick(self) -> None:
        """Look and show, if it is time."""
        if self._quiet or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + (TABLE_S if self._live else LINES_S)
        told = [(role, sentence(role, self._store.heartbeat(role) or {})) for role in self._roles]
        if self._live:
            self._live.update(_table(told), refresh=True)
        else:
            for role, text in told:
                if (role, text) not in self._said:
                    self._console.print(f"{role}: {text}", markup=False, highlight=False, soft_wrap=True)
        self._said = told

    def close(self) -> None:
        """A last look, and the terminal back."""
        self._next = time.monotonic()
        self.tick()
        if self._live:
            self._live.stop()


def sentence(role: str, beat: Mapping[str, Any]) -> str:
    """One line of a daemon's heartbeat."""
    if not beat:
        return "starting"
    parts = _trainer_parts(beat) if role == names.TRAIN else _simulator_parts(beat)
    return ", ".join(part for part in parts if part) or str(beat.get("state", ""))


def _simulator_parts(beat: Mapping[str, Any]) -> list[str]:
    # the step counts from the first adapt step on, the plan is the length of the production block
    producing = beat.get("phase") == "production"
    planned = f" (production: {beat.get('block_step')} of {beat.get('steps_planned')})" if producing else ""
    generation = beat.get("generation")
    model = "" if generation is None else "first principles alone" if generation < 0 else f"generation {generation}"
    return [
        str(beat.get("phase", "")),
        _fact(beat, "step", "step {}") + planned if beat.get("step") is not None else "",
        model,
        _fact(beat, "acceptance_recent", "acceptance {:.2f}"),
        _fact(beat, "trajectory_fs", "trajectory {:.1f} fs"),
        _fact(beat, "chain_moves", "chains of {} moves"),
        f"rings: {beat['rings']} of {beat['rings_planned']}" if beat.get("rings_planned") else "",
        _fact(beat, "alpha", "alpha {:.2f}"),
        _fact(beat, "timestep_fs", "timestep {:.3g} fs"),
        _fact(beat, "labels", "{} labels"),
        _fact(beat, "engine_calls", "{} engine calls"),
    ]


def _trainer_parts(beat: Mapping[str, Any]) -> list[str]:
    fit = f"step {beat['fit_step']} of {beat['fit_steps']}" if beat.get("fit_steps") else ""
    return [
        str(beat.get("activity", "")),
        fit,
        _fact(beat, "generation", "generation {}") if (beat.get("generation") or 0) >= 0 else "no generation yet",
        _fact(beat, "labels_train", "{} labels"),
        _fact(beat, "labels_heldout", "{} held out"),
        _fact(beat, "loss", "loss {:.3g}"),
        _fact(beat, "predicted_acceptance", "predicted acceptance {:.2f}"),
        _fact(beat, "device", "on {}"),
    ]


def _fact(beat: Mapping[str, Any], name: str, form: str) -> str:
    return "" if beat.get(name) is None else form.format(beat[name])


def _table(told: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for role, text in told:
        table.add_row(f"[bold]{role}[/bold]", text)
    return table
