"""Say what works on this machine, and what to do where something does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import BadSetting, Exit
from renkei.doctor import MACHINE, RUN, Finding, other_node
from renkei.run_folder import demand


def doctor(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="run folder, whose file system is tried too")] = None,
    peer: Annotated[
        float | None,
        typer.Option(min=1.0, metavar="SECONDS", help="also wait so long for the doctor of another node that sees RUN"),
    ] = None,
) -> None:
    """Try Python, kernels, MPI, torch, engines, cores and disks; exit 13 if something that every run needs is broken."""
    if run is not None:
        demand(run)
    if peer is not None and run is None:
        raise BadSetting("--peer needs a run folder", "renkei doctor", "name one that both nodes see")
    broken = False
    for finding in _findings(run, peer):
        word = "BROKEN" if finding.broken else "note" if finding.todo else "OK"
        print(f"{word:6}  {finding.subject:13} {finding.found}", flush=True)
        if finding.todo:
            print(f"{'':21} -> {finding.todo}", flush=True)
        broken |= finding.broken
    if broken:
        raise typer.Exit(int(Exit.FINDINGS))


def _findings(run: Path | None, peer_s: float | None) -> Iterator[Finding]:
    yield from (check() for check in MACHINE)
    if run is not None:
        yield from (check(run) for check in RUN)
        if peer_s is not None:
            yield other_node(run, peer_s)
