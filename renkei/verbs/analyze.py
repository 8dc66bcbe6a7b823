"""Observables anew from the stored states, with errors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import BadSetting

if TYPE_CHECKING:
    from renkei.observe import Findings, Selection


def analyze(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="run folder")] = None,
    observable: Annotated[str, typer.Option(metavar="NAME[,NAME...]", help="what to compute; --list names them")] = "",
    simulator: Annotated[str, typer.Option(metavar="NAME", help="one of several (else each, and --into wants one)")] = "",
    phase: Annotated[str, typer.Option(help="production: the quoted block; adapt: never to be quoted")] = "production",
    all_blocks: Annotated[bool, typer.Option("--all-blocks", help="every full production block, not the last one alone")] = False,
    stride: Annotated[int, typer.Option(metavar="N", help="every N-th state")] = 1,
    skip: Annotated[int, typer.Option(metavar="N", help="leave out the first N steps of the block")] = 0,
    chain: Annotated[bool, typer.Option("--chain", help="of a two-level block, the chain beside it alone")] = False,
    rung: Annotated[float | None, typer.Option(metavar="T_K", help="of a ladder of temperatures; else the lowest")] = None,
    into: Annotated[Path | None, typer.Option(metavar="FILE.h5", help="write series and curves")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object with means and curves, by simulator")] = False,
    listed: Annotated[bool, typer.Option("--list", help="name the observables")] = False,
) -> None:
    """Compute observables from the trajectories of a run: means with errors, effective samples and R-hat, and curves."""
    from protocol import jsontext
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
    selection = observe.Selection(phase, stride, skip, temperature_K=rung, all_blocks=all_blocks, chain=chain)
    told = {}
    for name in [simulator] if simulator else _simulators(run, into):
        if not simulator and name and not as_json:
            print(f"\n{name}", flush=True)
        chosen, found = _compute(run, wanted, name, selection, into)
        if as_json:
            told[chosen] = _plain(found)
        else:
            _show(found, phase)
    if as_json:
        print(jsontext.dumps({"run": str(run), "phase": phase, "simulators": told}, indent=1).decode())
    elif into is not None:
        print(f"series and curves: {into}")


def _simulators(run: Path, into: Path | None) -> list[str]:
    """All simulators by name where there are several; [""] for the only one, and for a file, which takes one."""
    from renkei.run_data import RunData

    several = RunData(run).simulators
    return several if len(several) > 1 and into is None else [""]


def _compute(run: Path, wanted: list[str], simulator: str, selection: Selection, into: Path | None) -> tuple[str, Findings]:
    """The simulator's name, and what was found."""
    from protocol.store import Store
    from renkei.observe_levels import observe_quoted
    from renkei.observed_file import ObservedFile
    from renkei.run_data import RunData

    data = RunData(run)
    chosen = data.simulator(simulator)
    store = Store(run)
    if into is None:
        return chosen.name, observe_quoted(store, chosen, wanted, selection)
    facts = {name: value for name, value in asdict(selection).items() if value is not None}
    with ObservedFile(into, {"run": str(run), "simulator": chosen.name, **facts}) as file:
        found = observe_quoted(store, chosen, wanted, selection, sink=file.append)
        file.finish(found)
    return chosen.name, found


_REFUSED = "not quoted"  # in the table; the reason follows below it


def _plain(found: Findings) -> dict[str, Any]:
    """What `--json` prints of one simulator; a mean or curve with a `refusal` is not to be quoted."""
    averages = {
        name: {**one.estimate._asdict(), "r_hat": one.r_hat, "unit": one.unit, "refusal": one.refusal}
        | ({"chain": one.beside._asdict()} if one.beside else {})
        for name, one in found.averages.items()
    }
    curves = {
        name: {
            "x": one.axis.points,
            "x_label": one.axis.label,
            "value": one.estimate.value,
            "stderr": one.estimate.stderr,
            "ess": one.estimate.ess,
            "refusal": one.refusal,
        }
        for name, one in found.curves.items()
    }
    weights = found.weights._asdict() if found.weights else None
    steps = {"states": len(found.step), "first_step": found.step[0], "last_step": found.step[-1]}
    return {**steps, "averages": averages, "curves": curves, "weights": weights, "notes": list(found.notes)}


def _show(found: Findings, phase: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from renkei.digits import number, pair
    from renkei.results import UNITS

    first, last = found.step[0], found.step[-1]
    console = Console()
    console.print(f"{phase}: {len(found.step)} states, steps {first} to {last}", highlight=False)
    if found.weights:
        console.print(f"reweighted to first principles: {found.weights.told}", highlight=False)
    for note in found.notes:
        console.print(note, highlight=False, markup=False)
    beside = any(average.beside for average in found.averages.values())
    names = ("observable", "mean ± standard error", "unit", "effective samples", "R-hat", *(["chain"] if beside else []))
    table = Table(*(Column(name, overflow="fold") for name in names))  # digits that are cut would lie
    table.columns[0].no_wrap = True  # a name that is cut is nobody's, however narrow the terminal
    for name, average in found.averages.items():
        told = _REFUSED if average.refusal else pair(average.estimate.mean, average.estimate.stderr)
        if average.estimate.stderr == 0:
            told = f"{average.estimate.mean:.6g} in every state"
        label = name.removesuffix(f"_{average.unit}") if average.unit else name
        other = average.beside
        more = [pair(other.mean, other.stderr) if other else ""] if beside else []
        ess = average.estimate.effective
        table.add_row(label, told, UNITS.get(average.unit, ""), number(ess, ".0f"), number(average.r_hat, ".3f"), *more)
    for name, curve in found.curves.items():
        points = curve.axis.points
        told = _REFUSED if curve.refusal else f"{len(points)} points, {curve.axis.label} {points[0]:.4g} to {points[-1]:.4g}"
        table.add_row(name, told, "", number(curve.estimate.ess, ".0f"), number(None, ".3f"))
    console.print(table)
    reasons = {name: one.refusal for name, one in found.averages.items()} | {
        name: one.refusal for name, one in found.curves.items()
    }
    for name, reason in reasons.items():
        if reason:
            console.print(f"{name} {reason}", highlight=False, markup=False)
    if phase != "production":
        console.print("these states are no equilibrium: model, step and length still changed", highlight=False)
