"""The ledger as arrays: the step rows of one simulator's journal, and their series by walker and production block."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kernels.arrays import Array
from protocol.errors import BadSetting

Row = Mapping[str, Any]
WALKS = ("equilibrate", "probe", "level_1", "level_2")  # moves of a two-level block beside its chain


@dataclass(frozen=True)
class Ledger:
    """n rows of one simulator, ordered by step, then walker."""

    step: Array  # (n,) int
    walker: Array  # (n,) int
    phase: Array  # (n,) str
    block: Array  # (n,) int
    generation: Array  # (n,) int; -1: first principles alone
    move: Array  # (n,) str; "metropolis", or "explore" and WALKS: the surrogate's ensemble, first principles do not decide
    accepted: Array  # (n,) bool
    outcome: Array  # (n,) str
    length_fs: Array  # (n,) fs
    timestep_fs: Array  # (n,) fs
    alpha: Array  # (n,) share of first principles in the potential that decided; 1 but for mixtures
    approximation: Array  # (n,) str; what stood for the target where the target itself did not decide, "" where it did
    log_ratio: Array  # (n,) -beta dH; NaN where not finite
    log_ratio_integrator: Array  # (n,) NaN where unknown
    log_ratio_model: Array  # (n,) NaN where unknown
    engine_calls: Array  # (n,) int
    unix: Array  # (n,) s, the writer's clock
    temperature_K: Array  # (n,) of the walker's rung; NaN without a ladder
    replica: Array  # (n,) int, which ring of the ladder stands there; -1 without one
    swap: Array  # (n,) int, of an exchange with the next rung: 1 made, 0 refused, -1 none tried
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
        alpha=np.array([row.get("alpha", 1.0) for row in steps], dtype=float),
        approximation=np.array([row.get("approximation", "") for row in steps], dtype=str),
        **{name: _floats(steps, name) for name in _NUMBERS},
        replica=np.array([row.get("replica", -1) for row in steps], dtype=int),
        swap=np.array([row["swap"]["accepted"] if "swap" in row else -1 for row in steps], dtype=int),
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


def by_rung(ledger: Ledger) -> dict[float, Ledger]:
    """The rows of every temperature (K) of a ladder, the lowest first; all rows under NaN where there is no ladder."""
    if not np.isfinite(ledger.temperature_K).any():
        return {math.nan: ledger}
    return {float(kelvin): select(ledger, ledger.temperature_K == kelvin) for kelvin in np.unique(ledger.temperature_K)}


def lowest_rung(ledger: Ledger) -> Ledger:
    """The rows whose averages are quoted: of the lowest temperature of a ladder, all of them without one."""
    return next(iter(by_rung(ledger).values()))


def rung(ledger: Ledger, temperature_K: float | None) -> Ledger:
    """The rows of one temperature of a ladder, None: of the lowest. Raises BadSetting where there is no such rung."""
    if temperature_K is None:
        return lowest_rung(ledger)
    rungs = by_rung(ledger)
    near = [rows for kelvin, rows in rungs.items() if abs(kelvin - temperature_K) <= 0.05]
    if not near:
        listed = ", ".join(f"{kelvin:.1f}" for kelvin in rungs if math.isfinite(kelvin)) or "no ladder of temperatures"
        raise BadSetting(f"there is no rung at {temperature_K:g} K", next=f"the run has {listed}")
    return near[0]


def by_walker(ledger: Ledger, values: Array) -> Array:
    """Values of the rows as (T, W): steps that every walker has finished (equal step counts), walkers in order.

    values: (n,), any unit.
    """
    walkers = np.unique(ledger.walker)
    columns = [values[ledger.walker == walker] for walker in walkers]
    shortest = min((len(column) for column in columns), default=0)
    return np.stack([column[:shortest] for column in columns], axis=1) if columns else np.zeros((0, 0))


_NUMBERS = ("length_fs", "timestep_fs", "log_ratio", "log_ratio_integrator", "log_ratio_model", "unix", "temperature_K")
_TABLES = ("observables", "seconds")


def _floats(rows: list[Row], key: str) -> Array:
    return np.array([np.nan if row.get(key) is None else row[key] for row in rows], dtype=float)


def _table(rows: list[Row], key: str, missing: float) -> dict[str, Array]:
    names = sorted({name for row in rows for name in row.get(key) or {}})
    cells = [row.get(key) or {} for row in rows]
    return {name: np.array([missing if cell.get(name) is None else cell[name] for cell in cells], dtype=float) for name in names}
