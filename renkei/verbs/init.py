"""Make a run folder from a structure and an engine, or from a shipped configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from protocol import atomic
from protocol.errors import BadSetting
from protocol.setting_errors import nearest
from protocol.settings import load, parse_override, plugin_names
from renkei import first_config, prepare, templates
from renkei.plugins import PLUGINS
from renkei.run_folder import is_run_folder
from sim_daemon.engines import base as engines
from sim_daemon.samplers import base as samplers
from sim_daemon.system import check_structure, read_atoms, read_system


def init(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="run folder to make")],
    structure: Annotated[Path | None, typer.Option(help="structure: any file that ASE reads")] = None,
    engine: Annotated[str, typer.Option(help="first-principles engine")] = "tblite",
    config: Annotated[
        str | None, typer.Option(metavar="NAME", help="a shipped configuration instead, e.g. water-tetramer")
    ] = None,
    charge: Annotated[int | None, typer.Option(help="total charge (else the file's, else 0)")] = None,
    multiplicity: Annotated[int | None, typer.Option(min=1, help="spin multiplicity (else the file's, else the lowest)")] = None,
    temperature_k: Annotated[float, typer.Option("--temperature-K", min=0.001, help="temperature, K")] = 300.0,
    machine: Annotated[
        str | None, typer.Option(metavar="NAME", help="a shipped machine.yaml of a batch system, e.g. slurm, pbs, pjm")
    ] = None,
    changes: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change one key")] = None,
) -> None:
    """Make a run folder: run.yaml and machine.yaml with comments, and a copy of the structure."""
    if (structure is None) == (config is None):
        known = ", ".join(templates.config_names())
        raise BadSetting("wants --structure FILE or --config NAME", "renkei init", f"shipped configurations: {known}")
    if is_run_folder(run):
        raise BadSetting("holds a run already", str(run), "choose another folder, or edit its run.yaml")
    profile = templates.machine(machine) if machine is not None else None
    if config is not None:
        file = templates.config(config)
        prepare.write(run, file.read_text("utf-8"), prepare.structures(file, changes or []), changes or [])
    else:
        _from_structure(run, structure or Path(), engine, (charge, multiplicity, temperature_k), changes or [])
    if profile is not None:
        atomic.replace_bytes(run / prepare.MACHINE, profile.read_bytes())
    start = "run" if load(run, PLUGINS).machine.scheduler.name == "local" else "submit"
    print(f"{run}: run.yaml, machine.yaml, structure; next: renkei check {run}, renkei {start} {run}")


def _from_structure(
    run: Path, structure: Path, engine: str, wishes: tuple[int | None, int | None, float], changes: Sequence[str]
) -> None:
    known = plugin_names(engines.load)
    if "." not in engine and engine not in known:
        raise BadSetting(f"there is no engine called {engine!r}{nearest(engine, known)}", "--engine")
    if not structure.is_file():
        raise BadSetting("there is no such file", f"--structure {structure}")
    atoms = read_atoms(structure)
    check_structure(atoms, structure)
    guessed = first_config.guess(atoms, *wishes)
    formula = atoms.get_chemical_formula(mode="hill")
    section = (
        f"{{name: {engine}, method: {'GFN1-xTB' if atoms.pbc.any() else 'GFN2-xTB'}}}"
        if engine == "tblite"
        else f"{{name: {engine}}}"
    )
    text = first_config.science(structure.name, formula, section, guessed, wishes[2], _flies(changes))
    science, machine = prepare.edited(text, first_config.machine(guessed.beads), changes)
    _validate(science, machine, structure)
    prepare.write_folder(run, science, machine, structure)
    print(
        f"{formula}: {guessed.kind}, charge {guessed.charge:+d}, multiplicity {guessed.multiplicity}, start-up: {guessed.startup}"
    )


def _flies(changes: Sequence[str]) -> bool:
    """Whether the sampler that `changes` ask for makes trajectories; so does the one that is written without them."""
    asked = [value for keys, value in map(parse_override, changes) if keys == ("science", "sampler", "name")]
    if not asked or asked[-1] not in plugin_names(samplers.load):
        return True
    return "trajectory_fs" in samplers.load(asked[-1]).Settings.model_fields


def _validate(science: str, machine: str, structure: Path) -> None:
    """Nothing is written before the texts and the structure are understood."""
    with tempfile.TemporaryDirectory() as scratch:
        prepare.write_folder(Path(scratch), science, machine, structure)
        try:
            read_system(load(Path(scratch), PLUGINS))
        except BadSetting as error:
            what = error.what.replace(f"{scratch}/", "")
            raise BadSetting(what, error.where.replace(f"{scratch}/", ""), error.next or "say it with --set KEY=VALUE") from error
