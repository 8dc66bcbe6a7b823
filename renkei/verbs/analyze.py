"""Observables anew from the stored states, with errors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import BadSetting

if TYPE_CHECKING:
    from renkei.observe import Findings


def analyze(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="run folder")] = None,
    observable: Annotated[str, typer.Option(metavar="NAME[,NAME...]", help="what to compute; --list names them")] = "",
    simulator: Annotated[str, typer.Option(metavar="NAME", help="which one, where there are several")] = "",
    phase: Annotated[str, typer.Option(help="production: the quoted block; adapt: never to be quoted")] = "production",
    stride: Annotated[int, typer.Option(metavar="N", help="every N-th state")] = 1,
    into: Annotated[Path | None, typer.Option(metavar="FILE.h5", help="write series and curves")] = None,
    listed: Annotated[bool, typer.Option("--list", help="name the observables")] = False,
) -> None:
    """Compute observables from the trajectories of a run: means with errors, effective samples and R-hat, and curves."""
    from renkei import observe

    if listed:
        width = max(map(len, observe.names()))
        for name, line in observe.names().items():
            print(f"{name:<{width}}  {line}")
        print("and every number of the ledger by its own name, e.g. potential_energy_eV")
        return
    if run is None or not observable:
        raise BadSetting("say which run and which observables", next="e.g. renkei analyze RUN --observable energy,bonds")
    wanted = list(dict.fromkeys(name.strip() for name in observable.split(",") if name.strip()))
    _show(_compute(run, wanted, simulator, phase, stride, into), phase)
    if into is not None:
        print(f"series and curves: {into}")


def _compute(run: Path, wanted: list[str], simulator: str, phase: str, stride: int, into: Path | None) -> Findings:
    from protocol.store import Store
    from renkei.observe import observe
    from renkei.observed_file import ObservedFile
    from renkei.run_data import RunData

    data = RunData(run)
    chosen = data.simulator(simulator)
    store = Store(run)
    if into is None:
        return observe(store, chosen, wanted, phase, stride)
    facts = {"run": str(run), "simulator": chosen.name, "phase": phase, "stride": stride}
    with ObservedFile(into, facts) as file:
        found = observe(store, chosen, wanted, phase, stride, sink=file.append)
        file.finish(found)
    return found


def _show(found: Findings, phase: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from renkei.digits import number, pair

    first, last = found.step[0], found.step[-1]
    console = Console()
    console.print(f"{phase}: {len(found.step)} states, steps {first} to {last}", highlight=False)
    table = Table("observable", "mean ± standard error", "unit", "effective samples", "R-hat")
    for name, average in found.averages.items():
        told = average.refusal or pair(average.estimate.mean, average.estimate.stderr)
        label = name.removesuffix(f"_{average.unit}") if average.unit else name
        table.add_row(label, told, average.unit, number(average.estimate.ess, ".0f"), number(average.r_hat, ".3f"))
    for name, curve in found.curves.items():
        points = curve.axis.points
        told = curve.refusal or f"{len(points)} points, {curve.axis.label} {points[0]:.4g} to {points[-1]:.4g}"
        table.add_row(name, told, "", number(curve.estimate.ess, ".0f"), number(None, ".3f"))
    console.print(table)
    if phase != "production":
        console.print("these states are no equilibrium: model, step and length still changed", highlight=False)
