"""The numbers of `parity.errors` as people read them, for tables on a screen and on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernels.units import GPA_PER_EV_A3
from renkei.digits import number

COLUMNS = (
    ("structures", "structures", "d", 1.0),
    ("energy RMSE, meV/atom", "energy_rmse_meV_per_atom", ".2f", 1.0),
    ("energy MAE, meV/atom", "energy_mae_meV_per_atom", ".2f", 1.0),
    ("energy RMSE shifted, meV/atom", "energy_shifted_rmse_meV_per_atom", ".2f", 1.0),
    ("force RMSE, eV/Å", "force_rmse_eV_per_A", ".4f", 1.0),
    ("force MAE, eV/Å", "force_mae_eV_per_A", ".4f", 1.0),
    ("largest force error, eV/Å", "force_largest_eV_per_A", ".2f", 1.0),
)
STRESS = ("stress RMSE, GPa", "stress_rmse_eV_per_A3", ".3f", GPA_PER_EV_A3)


def table(errors: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], dict[str, list[str]]]:
    """Heads of the columns, and the cells of every set of frames; a column for the stress only where one has it."""
    columns = [*COLUMNS, *([STRESS] if any(STRESS[1] in found for found in errors.values()) else [])]
    rows = {name: [_cell(found, key, form, factor) for _, key, form, factor in columns] for name, found in errors.items()}
    return [head for head, *_ in columns], rows


def details(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(group, atoms, force RMSE, force MAE) by species and by size of the reference force."""
    rows = [(symbol, row) for symbol, row in found["species"].items()]
    rows += [(_range(row), row) for row in found["by_force"]]
    told = [(name, row["atoms"], row["force_rmse_eV_per_A"], row["force_mae_eV_per_A"]) for name, row in rows]
    return [(name, str(atoms), number(rmse, ".4f"), number(mae, ".4f")) for name, atoms, rmse, mae in told]


def _range(row: Mapping[str, Any]) -> str:
    low, high = row["from_eV_per_A"], row["to_eV_per_A"]
    return f"|F| from {low:g} eV/Å" + (f" to {high:g}" if high is not None and high < 1e9 else "")


def _cell(found: Mapping[str, Any], key: str, form: str, factor: float) -> str:
    value = found.get(key)
    return number(value if value is None or form == "d" else factor * value, form)
