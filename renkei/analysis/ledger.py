"""The ledger as arrays: the step rows of one simulator's journal, and their series by walker and production block."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kernels.arrays import Array

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Ledger:
    """n rows of one simulator, ordered by step, then walker."""

    step: Array  # (n,) int
    walker: Array  # (n,) int
    phase: Array  # (n,) str
    block: Array  # (n,) int
    generation: Array  # (n,) int; -1: first principles alone
    move: Array  # (n,) str; "metropolis", or "explore": the surrogate's own ensemble, which first principles do not decide
    accepted: Array  # (n,) bool
    outcome: Array  # (n,) str
    length_fs: Array  # (n,) fs
    timestep_fs: Array  # (n,) fs
    log_ratio: Array  # (n,) -beta dH; NaN where not finite
    log_ratio_integrator: Array  # (n,) NaN where unknown
    log_ratio_model: Array  # (n,) NaN where unknown
    engine_calls: Array  # (n,) int
    unix: Array  # (n,) s, the writer's clock
    observables: Mapping[str, Array]  # (n,) each, unit in the name; of the state after the step
    seconds: Mapping[str, Array]  # (n,) s since the row before, by activity

    def __len__(self) -> int:
        return len(self.step)


def steps_of(rows: Iterable[Row]) -> Ledger:
    """The step rows of a journal as arrays."""
    steps = sorted((row for row in rows if row["event"] == "step"), key=lambda row: (row["step"], row["walker"]))
    return Ledger(
        **{name: np.array([row[name] for row in steps], dtype=int) for name in ("step", "walker", "block", "generation")},
        engine_calls=np.array([row.get("engine_calls", 0) for row in steps], dtype=int),
        accepted=np.array([row["accepted"] for row in steps], dtype=bool),
        move=np.array([row.get("move", "metropolis") for row in steps], dtype=str),
        phase=np.array([row["phase"] for row in steps], dtype=str),
        outcome=np.array([row.get("outcome", "") for row in steps], dtype=str),
        **{name: _floats(steps, name) for name in _NUMBERS},
        observables=_table(steps, "observables", np.nan),
        seconds=_table(steps, "seconds", 0.0),
    )


def select(ledger: Ledger, mask: Array) -> Ledger:
    """The rows where `mask` is true; mask: (n,) bool."""
    arrays = {f.name: getattr(ledger, f.name)[mask] for f in fields(ledger) if f.name not in _TABLES}
    tables = {name: {key: column[mask] for key, column in getattr(ledger, name).items()} for name in _TABLES}
    chosen: dict[str, Any] = {**arrays, **tables}
    return replace(ledger, **chosen)


def in_phase(ledger: Ledger, phase: str) -> Ledger:
    """The rows of one phase, "adapt" or "production"."""
    return select(ledger, ledger.phase == phase)


def decided(ledger: Ledger) -> Ledger:
    """The rows that first principles decided: what an acceptance is made of."""
    return select(ledger, ledger.move == "metropolis")


def production_blocks(ledger: Ledger) -> dict[int, Ledger]:
    """The rows of every production block, by block number."""
    production = in_phase(ledger, "production")
    return {int(block): select(production, production.block == block) for block in np.unique(production.block)}


def by_walker(ledger: Ledger, values: Array) -> Array:
    """Values of the rows as (T, W): steps that every walker has finished (equal step counts), walkers in order.

    values: (n,), any unit.
    """
    walkers = np.unique(ledger.walker)
    columns = [values[ledger.walker == walker] for walker in walkers]
    shortest = min((len(column) for column in columns), default=0)
    return np.stack([column[:shortest] for column in columns], axis=1) if columns else np.zeros((0, 0))


_NUMBERS = ("length_fs", "timestep_fs", "log_ratio", "log_ratio_integrator", "log_ratio_model", "unix")
_TABLES = ("observables", "seconds")


def _floats(rows: list[Row], key: str) -> Array:
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], dtype=float)


def _table(rows: list[Row], key: str, missing: float) -> dict[str, Array]:
    names = sorted({name for row in rows for name in row.get(key) or {}})
    cells = [row.get(key) or {} for row in rows]
    return {name: np.array([missing if cell.get(name) is None else cell[name] for cell in cells], dtype=float) for name in names}
