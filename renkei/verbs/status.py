"""One screen on a run, once; reads only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from protocol import names
from protocol.errors import Exit
from protocol.records import PeerState
from protocol.settings import load
from protocol.store import Store
from renkei import run_view
from renkei.analysis.ledger import decided, in_phase
from renkei.progress import sentence
from renkei.run_folder import demand, is_submitted, next_start
from renkei.run_view import DaemonView, RunView


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
    finished: Annotated[
        str | None, typer.Option(metavar="NAME", help="only: has this simulator (or all) completed its production?")
    ] = None,
) -> None:
    """What both jobs of a run are doing, where their time goes and what they have done; exit 13 if a job died."""
    demand(run)
    if finished is not None:
        raise typer.Exit(int(_finished(run, finished)))
    view = run_view.read(run)
    found = facts(view) | {"jobs": _jobs(run)}
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(view, found)
    if found["findings"]:
        raise typer.Exit(int(Exit.FINDINGS))


def facts(view: RunView) -> dict[str, Any]:
    """What `--json` prints."""
    simulators = {simulator.name: _simulator(simulator) for simulator in view.simulators}
    trainer = _trainer(view.trainer) if view.trainer else None
    daemons = [*view.simulators, *([view.trainer] if view.trainer else [])]
    return {
        "run": str(view.root),
        "simulators": simulators,
        "trainer": trainer,
        "engine_calls": view.calls,
        "control": sorted(view.control),
        "findings": [f"{daemon.role} ended without a word" for daemon in daemons if _died(daemon)],
    }


def _finished(run: Path, name: str) -> Exit:
    """One line, and 0 if there is nothing left to do; for job scripts."""
    chosen = load(run, {}).science.simulators if name == "all" else [name]
    left = [one for one in chosen if not Store(run).complete(names.simulator_role(one))]
    print(f"{', '.join(left)}: not complete" if left else f"{', '.join(chosen)}: production is complete, nothing is left to do")
    return Exit.FINDINGS if left else Exit.DONE


def _jobs(run: Path) -> list[str]:
    """A line for each job that was submitted."""
    if not is_submitted(run):
        return []
    from renkei import submission  # who never submits needs no templates

    return submission.lines(run)


def _died(daemon: DaemonView) -> bool:
    """Gone, though its last heartbeat does not say that it ended."""
    return daemon.state == PeerState.GONE and daemon.heartbeat.get("state") not in (PeerState.GONE, PeerState.FINISHING)


def _daemon(daemon: DaemonView) -> dict[str, Any]:
    return {
        "state": str(daemon.state),
        "heartbeat": dict(daemon.heartbeat),
        "activities_s": {name: round(seconds, 3) for name, seconds in daemon.activities.items()},
    }


def _simulator(simulator: run_view.SimulatorView) -> dict[str, Any]:
    ledger = simulator.ledger
    steps = {phase: int((ledger.phase == phase).sum()) for phase in ("adapt", "production")} if len(ledger) else {}
    tried = {phase: decided(in_phase(ledger, phase)).accepted for phase in steps}
    acceptance = {phase: float(taken.mean()) for phase, taken in tried.items() if len(taken)}
    return _daemon(simulator) | {
        "phase": simulator.phase,
        "steps": steps,
        "acceptance": acceptance,
        "engine_calls": simulator.cost.calls,
        "generations_used": simulator.used_generations,
    }


def _trainer(trainer: run_view.TrainerView) -> dict[str, Any]:
    comings = [{key: row[key] for key in ("simulator", "epoch", "what")} for row in trainer.attendance]
    return _daemon(trainer) | {"published": len(trainer.published), "batches": trainer.batches, "attendance": comings}


def _show(view: RunView, found: Mapping[str, Any]) -> None:
    console = Console()
    table = Table("job", "state", "doing", "where its time went", title=str(view.root), title_justify="left")
    for daemon in [*view.simulators, *([view.trainer] if view.trainer else [])]:
        total = sum(daemon.activities.values())
        shares = ", ".join(
            f"{name} {seconds / total:.0%}" for name, seconds in daemon.activities.items() if total and seconds / total >= 0.005
        )
        table.add_row(daemon.role, str(daemon.state), sentence(daemon.role, daemon.heartbeat), shares)
    if not view.simulators:
        table.add_row(f"{names.SIM}/*", "absent", "has never started", "")
    if view.trainer is None:
        table.add_row(names.TRAIN, "absent", "has never started", "")
    console.print(table)
    for name, simulator in found["simulators"].items():
        for phase, share in simulator["acceptance"].items():
            console.print(f"{name}: {phase}: {simulator['steps'][phase]} steps, acceptance {share:.2f}", highlight=False)
    if found["trainer"] and len(found["simulators"]) > 1:
        learned = ", ".join(f"{name} {count}" for name, count in found["trainer"]["batches"].items())
        console.print(f"batches that the trainer has learned from: {learned or 'none'}", highlight=False)
    for line in found["jobs"]:
        console.print(line, highlight=False, soft_wrap=True)
    if view.control:
        console.print(f"asked for: {', '.join(sorted(view.control))}", highlight=False)
    for finding in found["findings"]:
        console.print(f"{finding}; `{next_start(view.root)}` goes on from its last step", highlight=False)
