"""Check a run folder against every rule of the handshake, and mend it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import Exit
from renkei.run_folder import demand

ROUNDS = 20  # of looking and mending: what lay behind a broken record shows itself in the next look


def fsck(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    mend: Annotated[bool, typer.Option("--repair", help="move what is broken to RUN/quarantine; nothing is deleted")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Look for damaged, missing, foreign and left-over files in a run folder; exit 0 (healthy) or 13."""
    from renkei import fsck as checks

    demand(run)
    alive = checks.living(run)
    if mend and alive:
        checks.refuse_living(run)
    found = checks.check(run)
    moved: list[Path] = []
    for _ in range(ROUNDS if mend else 0):
        if not any(finding.repairable for finding in found):
            break
        moved += checks.repair(run, found)
        found = checks.check(run)
    told = [
        {
            "kind": finding.kind,
            "where": str(finding.where.relative_to(run)),
            "what": finding.what,
            "repairable": finding.repairable,
        }
        for finding in found
    ]
    if as_json:
        facts = {"run": str(run), "healthy": not found, "living": alive, "findings": told}
        print(json.dumps({**facts, "moved": [str(path.relative_to(run)) for path in moved]}, indent=2))
    else:
        for path in moved:
            print(f"moved to quarantine: {path.relative_to(run)}")
        for one in told:
            print(f"{one['kind']}: {one['where']}: {one['what']}{' (--repair moves it)' if one['repairable'] else ''}")
        note = f"; {' and '.join(alive)} seems to run, so some of it may be under way" if alive and found else ""
        print(f"{len(found)} findings{note}" if found else "healthy")
    if found:
        raise typer.Exit(int(Exit.FINDINGS))
