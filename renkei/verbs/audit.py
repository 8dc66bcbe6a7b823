"""What may be said of a run's numbers, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from protocol.errors import Exit

EXITS = {
    "exact": Exit.DONE,
    "exact after reweighting": Exit.REWEIGHT,
    "approximate": Exit.APPROXIMATE,
    "do not quote": Exit.DO_NOT_QUOTE,
}


def audit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    simulator: Annotated[str, typer.Option(metavar="NAME", help="one of several")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Which samples are exact and why, and a verdict; exit 0 (exact), 10 (reweighted), 11 (approximate), 12 (do not quote)."""
    from protocol import jsontext
    from renkei import audit as audits
    from renkei.run_data import RunData

    data = RunData(run)
    chosen = [data.simulator(name) for name in ([simulator] if simulator else data.simulators)] or [data.simulator()]
    accounts = {one.name: audits.account(data.view, one) for one in chosen}
    found = {"run": str(run), **audits.worst(accounts), "simulators": accounts}
    if as_json:
        print(jsontext.dumps(jsontext.plain(found), indent=1).decode())
    else:
        _show(found)
    raise typer.Exit(int(EXITS[found["verdict"]]))


def _show(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(f"verdict: {found['verdict']}", highlight=False)
    for reason in found["reasons"]:
        console.print(f"  {reason}", highlight=False, markup=False)
    for name, account in found["simulators"].items():
        console.print(f"\n{name}", highlight=False)
        for samples in account["samples"]:
            console.print(f"  {_sentence(samples)}", highlight=False, markup=False)
        if not account["checks"]:
            continue
        table = Table("check", "outcome", "what was found")
        for check in account["checks"]:
            table.add_row(check["name"], check["outcome"], check["said"])
        console.print(table)


def _sentence(samples: Mapping[str, Any]) -> str:
    """Who made the samples of a phase."""
    rows, explored = samples["rows"], samples["explored"]
    if not rows:
        return f"{samples['phase']}: none"
    drivers = [
        f"{'first principles' if g < 0 else f'generation {g}'} {part['rows']}" for g, part in samples["generations"].items()
    ]
    outcomes = ", ".join(f"{name or 'unknown'} {count}" for name, count in samples["outcomes"].items())
    if samples["phase"] == "adapt":
        rule = f"{explored} explored by the surrogate, the rest decided by first principles; never averaged"
    elif samples["walked"]:
        rule = f"{samples['walked']} of the surrogate's own walk, the rest decided by first principles; everything frozen"
    else:
        rule = "each decided by first principles, everything frozen"
    return f"{samples['phase']}: {rows} rows, {rule}; driven by {', '.join(drivers)}; {outcomes}"
