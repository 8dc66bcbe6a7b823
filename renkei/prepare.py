"""Prepares run folders: one YAML or a run folder, with changes from the command line, becomes run.yaml + machine.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from protocol import atomic, names, yaml_marks
from protocol.errors import BadSetting
from protocol.settings import Config, load, parse_override, refuse_changes, resolved
from protocol.store import Store
from renkei.plugins import PLUGINS, is_run_folder
from sim_daemon.system import read_system
from train_daemon import charges

SCIENCE, MACHINE = "run.yaml", "machine.yaml"
DEFAULT_MACHINE = """\
# where and how the two jobs run; the result does not depend on it
simulator: {ranks: 1, ranks_per_engine: 1}
trainer: {device: auto}
"""


def run_folder(source: Path, into: Path | None, overrides: Sequence[str]) -> Path:
    """The run folder of `source`, made or brought up to date; nothing is written if anything is wrong.

    source: a run folder, or a YAML file (then `into` names the folder, else runs/<stem>).  overrides: KEY=VALUE.
    Raises BadSetting if the folder holds a run of another science.
    """
    if source.is_dir():
        if into is not None:
            raise BadSetting("--into is for a YAML file; a run folder is named by itself", str(into))
        return _changed_folder(source, overrides)
    config = load(source, PLUGINS, overrides)
    _check_system(config)
    run = into if into is not None else Path("runs") / source.stem
    if is_run_folder(run):
        refuse_changes(resolved(load(run, PLUGINS)), config)
        _refuse_changed_history(run, source, overrides, config)
    write(run, source.read_text("utf-8"), config.structure_path, overrides)
    return run


def write(run: Path, text: str, structure: Path, overrides: Sequence[str] = ()) -> None:
    """Make a run folder of one YAML text (comments are kept) and a structure's file."""
    science, machine = split(text)
    science = yaml_marks.edit(science, ("system", "structure"), structure.name)
    write_folder(run, *edited(science, machine, overrides), structure)


def write_folder(run: Path, science: str, machine: str, structure: Path) -> None:
    """Write the texts of run.yaml and machine.yaml, and a copy of the structure's file."""
    if not structure.is_file():
        raise BadSetting("system.structure: no such file", str(structure), "the path is relative to the configuration's folder")
    atomic.make_folder(run)
    for name, data in ((structure.name, structure.read_bytes()), (MACHINE, machine.encode()), (SCIENCE, science.encode())):
        if not (run / name).is_file() or (run / name).read_bytes() != data:
            atomic.replace_bytes(run / name, data)


def split(text: str) -> tuple[str, str]:
    """run.yaml and machine.yaml of one YAML text, which has the sections `science:` and `machine:` or is the science alone."""
    document = yaml_marks.parse(text, "yaml")
    if not {"science", "machine"} & document.data.keys():
        return text, DEFAULT_MACHINE
    lines = text.splitlines(keepends=True)
    starts = sorted((line, str(keys[0])) for keys, line in document.lines.items() if len(keys) == 1)
    bodies = {"machine": DEFAULT_MACHINE}
    for (first, name), (end, _) in zip(starts, [*starts[1:], (len(lines) + 1, "")], strict=True):
        if document.data[name]:
            bodies[name] = _body(lines[first : end - 1], document.data[name])
    return "".join(lines[: starts[0][0] - 1]) + bodies["science"], bodies["machine"]


def edited(science: str, machine: str, overrides: Sequence[str]) -> tuple[str, str]:
    """The texts of run.yaml and machine.yaml with KEY=VALUE applied."""
    texts = {"science": science, "machine": machine}
    for override in overrides:
        (place, *keys), new = parse_override(override)
        texts[place] = yaml_marks.edit(texts[place], tuple(keys), new)
    return texts["science"], texts["machine"]


def clear_controls(run: Path) -> None:
    """Remove STOP, PAUSE and FREEZE of earlier requests."""
    for name in (names.STOP, names.PAUSE, names.FREEZE):
        (run / names.CONTROL / name).unlink(missing_ok=True)


def put_control(run: Path, name: str) -> None:
    """Write control/NAME."""
    atomic.make_folder(run / names.CONTROL)
    atomic.replace_bytes(run / names.CONTROL / name, b"")


def _body(lines: Sequence[str], data: dict[str, object]) -> str:
    """The lines below a section's key, moved to the left margin; written anew if they are not laid out in a block."""
    keys = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    margin = len(keys[0]) - len(keys[0].lstrip(" ")) if keys else 0
    text = "".join(line[min(margin, len(line) - len(line.lstrip(" "))) :] for line in lines)
    try:
        good = yaml_marks.parse(text, "").data == data
    except BadSetting:
        good = False
    return text if good else yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _check_system(config: Config) -> None:
    """What neither daemon would see before labels have been paid for."""
    system = read_system(config)
    charges.check(config.science.learner, system.numbers, system.structure.pbc)


def _changed_folder(run: Path, overrides: Sequence[str]) -> Path:
    config = load(run, PLUGINS, overrides)
    _check_system(config)
    _refuse_changed_history(run, run, overrides, config)
    if overrides:
        machine = (run / MACHINE).read_text("utf-8") if (run / MACHINE).is_file() else DEFAULT_MACHINE
        science, machine = edited((run / SCIENCE).read_text("utf-8"), machine, overrides)
        atomic.replace_bytes(run / MACHINE, machine.encode())
        atomic.replace_bytes(run / SCIENCE, science.encode())
    return run


def _refuse_changed_history(run: Path, source: Path, overrides: Sequence[str], config: Config) -> None:
    """Compare with what the newest simulators and trainer of a run understood, each its own sections."""
    store = Store(run)
    for name in config.science.simulators:
        own = load(source, PLUGINS, overrides, name)
        role = names.simulator_role(name)
        refuse_changes(store.understood(role), own, role)
    refuse_changes(store.understood(names.TRAIN), config, names.TRAIN)
