"""Write the results of a run as a page, as figures and as numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from protocol import names
from protocol.errors import BadSetting, Exit
from renkei.run_view import RunView


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder")],
    targets: Annotated[bool, typer.Option("--targets", help="print what the demo must reach, each as met or missed")] = False,
) -> None:
    """Write report/index.html, report.json and PNG figures; works in mid-run; with --targets exit 13 if one is missed."""
    from renkei import run_view
    from renkei.demo_summary import summary

    view = run_view.read(run)
    if not view.simulators and view.trainer is None:
        raise BadSetting("nothing has started in this folder yet", str(run), f"start it with `renkei run {run}`")
    found = write(view)
    outcomes = summary(view, found) if targets else []
    for outcome in outcomes:
        print(outcome)
    _tell(view, found)
    if not all(outcome.met for outcome in outcomes):
        raise typer.Exit(int(Exit.FINDINGS))


def write(view: RunView) -> dict[str, Any]:
    """Write all files of the report; returns the content of report.json."""
    from protocol import atomic, jsontext
    from renkei import figures, report_page, results

    states = results.read_trajectories(view)
    found: dict[str, Any] = jsontext.plain(results.report(view, states))
    drawn = {}
    for simulator in view.simulators:
        block = results.quoted_block(simulator)[1]
        drawn[simulator.name] = figures.draw(view, simulator, block, results.quoted_states(states[simulator.name], block))
    folder = view.root / names.REPORT
    atomic.make_folder(folder)
    for name, pictures in drawn.items():
        prefix = f"{name}-" if len(drawn) > 1 else ""
        for picture in pictures:
            atomic.replace_bytes(folder / f"{prefix}{picture.name}.png", picture.png, durable=False)
    atomic.replace_bytes(folder / "report.json", jsontext.dumps(found, indent=2), durable=False)
    atomic.replace_bytes(folder / "index.html", report_page.page(view, found, drawn).encode(), durable=False)
    return found


def _tell(view: RunView, found: dict[str, Any]) -> None:
    print(f"verdict: {found['audit']['verdict']}")
    for reason in found["audit"]["reasons"]:
        print(f"  {reason}")
    print(f"report: {view.root / names.REPORT / 'index.html'}")
