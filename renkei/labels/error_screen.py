"""Errors of a potential as a table in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from renkei.labels import error_table


def show(errors: Mapping[str, Mapping[str, Any]], detailed: bool = False) -> None:
    """Print the errors of every set of frames, a row for each number; detailed: also by species and by size of force."""
    heads, rows = error_table.table(errors)
    console = Console()
    table = Table("", *rows)
    for place, head in enumerate(heads):
        table.add_row(head, *(values[place] for values in rows.values()))
    console.print(table, highlight=False)
    if detailed:
        for name, found in errors.items():
            inner = Table("", "atoms", "force RMSE, eV/Å", "force MAE, eV/Å", title=name, title_justify="left")
            for row in error_table.details(found):
                inner.add_row(*row)
            console.print(inner, highlight=False)
