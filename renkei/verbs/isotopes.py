"""What other isotopes do to the free energy of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from protocol.errors import Exit

if TYPE_CHECKING:
    from renkei.isotope_change import IsotopeChange

ADVICE = "look at more rings (--rings) or a longer run, take a smaller step in mass, or sample at the other mass"


def isotopes(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder with states of production")],
    to: Annotated[list[str], typer.Option(metavar="ELEMENT=MASS", help="H=D, H=T, O=17.999 (amu); repeatable, all at once")],
    simulator: Annotated[str, typer.Option(metavar="NAME", help="which one, where there are several")] = "",
    rings: Annotated[int, typer.Option(min=50, metavar="N", help="stored rings to look at")] = 400,
    engine: Annotated[bool, typer.Option("--engine", help="ask the engine, a call a bead, not the model of the block")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Tell the change of the free energy when all atoms of an element get another mass; exit 13 where it cannot be quoted."""
    from protocol import jsontext
    from protocol.store import Store
    from renkei.isotope_change import substitute
    from renkei.run_data import RunData
    from renkei.stored_states import beads_of

    chosen = RunData(run).simulator(simulator)
    beads_of(chosen)
    found = substitute(Store(run), chosen, to, rings, engine)
    if as_json:
        print(jsontext.dumps({"run": str(run), "simulator": chosen.name, **plain(found)}, indent=1).decode())
    else:
        _show(found)
    if found.change.refusal:
        if not as_json:
            print(refused(found))
        raise typer.Exit(int(Exit.FINDINGS))


def plain(found: IsotopeChange) -> dict[str, Any]:
    """What `--json` prints: energies in eV; with a `refusal`, nothing of it is to be quoted."""
    change = found.change
    numbers = {
        "total_eV": change.total,
        "quantum_minus_classical_eV": change.excess,
        "ln_reduced_partition_function_ratio": change.log_ratio,
    }
    return {
        "to": {one.symbol: one._asdict() for one in found.substitutions},
        "temperature_K": change.temperature_K,
        "beads": found.beads,
        "potential": found.said,
        **{name: {"mean": one.mean, "stderr": one.stderr, "ess": one.ess} for name, one in numbers.items()},
        "classical_eV": change.classical_eV,
        "weights": change.health._asdict(),
        "refusal": change.refusal,
    }


def refused(found: IsotopeChange) -> str:
    """Why nothing is quoted, and what to do, in one sentence."""
    return f"the states at hand say too little about the other masses ({found.change.refusal}): {ADVICE}"


def _show(found: IsotopeChange) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    from renkei.digits import pair

    console, change = Console(), found.change
    changes = ", ".join(f"{one.atoms} {one.symbol} from {one.mass_amu:g} to {one.other_amu:g} amu" for one in found.substitutions)
    console.print(f"{changes} at {change.temperature_K:g} K", highlight=False)
    if found.beads == 1:
        told = f"F(m') − F(m) is {pair(change.classical_eV, None)} eV, and quantum minus classical is 0, both exactly"
        console.print(f"one bead: the nuclei are classical, so {told}", highlight=False)
        return
    asked = f"{change.health.samples} stored rings of {found.beads} beads, asked: {found.said}"
    console.print(f"{asked}; weights of the other masses: {change.health.told}", highlight=False)
    table = Table(*(Column(name, overflow="fold") for name in ("change", "value", "unit")))
    quoted = [pair(one.mean, one.stderr) for one in (change.total, change.excess, change.log_ratio)]
    total, excess, ratio = ["not quoted"] * 3 if change.refusal else quoted
    table.add_row("F(m') − F(m)", total, "eV")
    table.add_row("the same of classical nuclei", pair(change.classical_eV, None), "eV")
    table.add_row("quantum − classical", excess, "eV")
    table.add_row("ln of the reduced partition function ratio", ratio, "1")
    console.print(table)
