"""Validate a run without starting it: configuration, structure, one engine call."""

from __future__ import annotations

import math
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kernels.units import HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS
from protocol.channels import base as channels
from protocol.errors import BadSetting, EngineFailed
from protocol.records import Label
from protocol.settings import Config, load
from renkei.plugins import PLUGINS
from sim_daemon.assemble import check_cheap_engine, check_estimator, highest_wavenumber, make_ring
from sim_daemon.engines import base as engines
from sim_daemon.ensembles import check_stress
from sim_daemon.samplers import base as samplers
from sim_daemon.system import System, read_system
from sim_daemon.target import Target
from train_daemon import charges


def check(
    source: Annotated[Path, typer.Argument(metavar="RUN", help="run folder, or a YAML file")],
    no_engine: Annotated[bool, typer.Option("--no-engine", help="leave the engine call out")] = False,
) -> None:
    """Validate a run folder or YAML file: every key, the structure, and the engine by one call."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numerical libraries load: as in the simulator
    config = load(source, PLUGINS)
    system = read_system(config)
    for one in [config, *(load(source, PLUGINS, simulator=name) for name, own in config.science.simulators.items() if own)]:
        _check_simulator(one, read_system(one))
    rows = _science_rows(config, system)
    channel = config.machine.channel
    said = getattr(channels.load(channel.name), "check", lambda settings: f"looks every {settings.poll_s:g} s")(channel)
    rows.append(("channel", f"{channel.name}, {said}"))
    if not no_engine:
        label, seconds = one_call(config.science.engine, system, config.machine.simulator.ranks_per_engine)
        check_stress(config.science.sampler, label, str(source))
        rows += _engine_rows(label, seconds, config)
        cheap = config.science.cheap_engine
        if cheap is not None:
            rows.append(("cheap engine", f"{cheap.name}, one call: {one_call(cheap, system)[1]:.3f} s"))
    _show(str(source), rows)


def _check_simulator(config: Config, system: System) -> None:
    """What concerns one simulator, without the engine."""
    check_cheap_engine(config)
    check_estimator(config)
    charges.check(config.science.learner, system.numbers, system.structure.pbc)
    sampler = config.science.sampler
    nothing = Target(system, lambda structures: ())
    samplers.load(sampler.name).build(sampler, make_ring(sampler, system), Target(system, lambda structures: (), nothing))


def one_call(settings: engines.EngineSettings, system: System, ranks: int = 1) -> tuple[Label, float]:
    """The label of the start structure, on so many ranks, and the seconds that it took; EngineFailed if there is none."""
    with tempfile.TemporaryDirectory(prefix="renkei-check-") as scratch:
        context = engines.EngineContext(system.charge, system.multiplicity, Path(scratch), ranks)
        engine = engines.load(settings.name).build(settings, context)
        begun = time.monotonic()
        try:
            label: Label = engine.label(system.structure)
        except (engines.LabelFailed, engines.EngineCrashed) as error:
            raise EngineFailed(
                f"the engine cannot label the start structure: {error.what}", f"engine: {settings.name}", error.next
            ) from error
        return label, time.monotonic() - begun


def _science_rows(config: Config, system: System) -> list[tuple[str, str]]:
    from ase.formula import Formula

    sampler = config.science.sampler.model_dump()
    symbols = Formula.from_list(_symbols(system)).format("hill")
    axes = "".join(axis for axis, periodic in zip("abc", system.structure.pbc, strict=True) if periodic)
    bound = system.restraint
    rows = [
        ("structure", f"{symbols}, {len(system.numbers)} atoms, {f'periodic along {axes}' if axes else 'not periodic'}"),
        ("charge, multiplicity", f"{system.charge:+d}, {system.multiplicity}"),
        ("restraint", f"sphere of {bound.radius_A:g} A, {bound.k_eV_per_A2:g} eV/A^2" if bound else "none"),
        ("sampler", ", ".join(f"{key} {_shown(value)}" for key, value in sampler.items() if value not in (None, "none"))),
        ("beads", _beads(config, system)),
        ("learner", config.science.learner.name),
        ("simulators", ", ".join(f"{name} {_shown(own)}".rstrip() for name, own in config.science.simulators.items())),
        ("ranks", _ranks(config)),
    ]
    if config.science.system.isotopes:
        masses = dict(zip(_symbols(system), system.masses_amu, strict=True))
        rows.insert(1, ("masses", ", ".join(f"{symbol} {mass:.4f} amu" for symbol, mass in masses.items())))
    return rows


def _ranks(config: Config) -> str:
    """How many ranks there are, and how many of them no bead of any walker needs."""
    ranks, each = config.machine.simulator.ranks, config.machine.simulator.ranks_per_engine
    sampler = config.science.sampler
    calls = getattr(sampler, "beads", 1) * getattr(sampler, "walkers", 1)
    idle = ranks - calls * each
    told = f"{ranks}, {each} for each engine call"
    return f"{told}; {idle} of them idle: beads x walkers are {calls}" if idle > 0 else told


def _beads(config: Config, system: System) -> str:
    """How many beads there are, and the usable rule P >= 2 hbar omega / (k_B T) for the fastest vibration to be expected."""
    sampler = config.science.sampler
    wavenumber, temperature = highest_wavenumber(system), sampler.ensemble.temperature_K
    enough = math.ceil(2 * HBAR_EV_FS * wavenumber * WAVENUMBER_RAD_PER_FS / (KB_EV_PER_K * temperature))
    rule = f"{enough} resolve {wavenumber:.0f} cm^-1 at {temperature:g} K"
    return f"{sampler.beads}, {'classical' if sampler.beads == 1 else 'quantum'} nuclei; {rule}; when it has run: `renkei beads`"


def _engine_rows(label: Label, seconds: float, config: Config) -> list[tuple[str, str]]:
    settings = config.science.engine
    force = float(abs(label.forces).max())
    if force > settings.max_force_eV_per_A:
        raise BadSetting(
            f"the largest force is {force:.1f} eV/A, above engine.max_force_eV_per_A ({settings.max_force_eV_per_A:g})",
            str(config.structure_path),
            "relax it first",
        )
    beads = getattr(config.science.sampler, "beads", 1)
    usable = min(max(config.machine.simulator.ranks // config.machine.simulator.ranks_per_engine, 1), beads)
    return [
        ("engine", settings.name),
        ("energy", f"{label.energy:.6f} eV"),
        ("largest force", f"{force:.4f} eV/A"),
        ("stress", "yes" if label.stress is not None else "no"),
        ("one call", f"{seconds:.3f} s; a ring of {beads}: {seconds * math.ceil(beads / usable):.3g} s"),
    ]


def _symbols(system: System) -> list[str]:
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in system.numbers]


def _shown(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    return " ".join(f"{key} {_shown(inner)}".rstrip() for key, inner in value.items() if inner is not None)


def _show(title: str, rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{title}: nothing is wrong", show_header=False, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console().print(table, highlight=False)
