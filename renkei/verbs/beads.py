"""Whether a run has enough beads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protocol.errors import Exit

if TYPE_CHECKING:
    from renkei.analysis.beads import Doubling


def beads(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder with states of production")],
    simulator: Annotated[str, typer.Option(metavar="NAME", help="which one, where there are several")] = "",
    rings: Annotated[int, typer.Option(min=20, metavar="N", help="stored rings to look at")] = 400,
    engine: Annotated[bool, typer.Option("--engine", help="ask the engine, 2 calls a bead, not the model of the block")] = False,
    tolerance: Annotated[float, typer.Option(min=1e-4, max=1.0, help="share of a kinetic energy that may be missing")] = 0.03,
) -> None:
    """Compare P beads with 2P on stored states; exit 0 where P suffices, 13 where it does not or nothing can be said."""
    from protocol.store import Store
    from renkei.beads_check import double
    from renkei.run_data import RunData
    from renkei.stored_states import beads_of

    chosen = RunData(run).simulator(simulator)
    count = beads_of(chosen)
    found, said = double(Store(run), chosen, rings, engine)
    _show(found, count, said)
    enough, told = verdict(found, count, tolerance)
    print(told)
    if not enough:
        raise typer.Exit(int(Exit.FINDINGS))


def verdict(found: Doubling, count: int, tolerance: float) -> tuple[bool, str]:
    """Whether `count` beads suffice, in one sentence. tolerance: share of a kinetic energy."""
    if found.health.refusal:
        what = f"{count} and {2 * count} beads have too little in common to compare them by weights ({found.health.refusal})"
        return False, f"{what}: take more beads, or look at more rings (--rings)"
    enough, name = found.decision(tolerance)
    share, error = found.means[name].lacking
    element = name.removeprefix("kinetic_energy_").removesuffix("_eV")
    lacks = f"the kinetic energy of {element} lacks {100 * share:.1f} ± {100 * error:.1f} % of its limit"
    bound = f"{100 * tolerance:g} % allowed"
    if enough is None:
        return False, f"{count} beads may or may not suffice: {lacks}, {bound}; look at more rings (--rings) or states"
    if enough:
        return True, f"{count} beads suffice: {lacks}, {bound}"
    wanted = 2 * math.ceil(0.5 * count * math.sqrt(share / tolerance))
    return False, f"{count} beads do not suffice: {lacks}, {bound}; errors fall with the square, so about {wanted} would"


def _show(found: Doubling, count: int, said: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from renkei.digits import pair
    from renkei.results import UNITS, unit_of

    console = Console()
    samples = found.health.samples
    console.print(f"{samples} stored rings, asked: {said}; weights of {2 * count} beads: {found.health.told}", highlight=False)
    names = ("mean", f"{count} beads", f"{2 * count} beads", "difference", "unit")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for name, one in found.means.items():
        told = ["not quoted"] * 2 if found.health.refusal else [pair(e.mean, e.stderr) for e in (one.more, one.difference)]
        unit = unit_of(name)
        table.add_row(name.removesuffix(f"_{unit}"), pair(one.fewer.mean, one.fewer.stderr), *told, UNITS.get(unit, ""))
    console.print(table)
