"""Prepares run folders: one YAML or a run folder, with changes from the command line, becomes run.yaml + machine.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from protocol import atomic, names, yaml_marks
from protocol.errors import BadSetting
from protocol.setting_tree import read_tree
from protocol.settings import Config, load, parse_override, refuse_changes, resolved
from protocol.store import Store
from renkei.plugins import PLUGINS
from renkei.run_folder import is_run_folder
from sim_daemon.samplers.base import learns
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
    overrides = _with_first_simulator(source, overrides)
    if source.is_dir():
        if into is not None:
            raise BadSetting("--into is for a YAML file; a run folder is named by itself", str(into))
        return _changed_folder(source, overrides)
    config = load(source, PLUGINS, overrides)
    _check_systems(source, overrides, config)
    run = into if into is not None else Path("runs") / source.stem
    if is_run_folder(run):
        refuse_changes(resolved(load(run, PLUGINS)), config)
        _refuse_changed_history(run, source, overrides, config)
    write(run, source.read_text("utf-8"), structures(source, overrides), overrides)
    return run


def _with_first_simulator(source: Path, overrides: Sequence[str]) -> Sequence[str]:
    """Where a simulator is added to a configuration that names none, the one that it has by default is named too."""
    adds = any(parse_override(text)[0][:2] == ("science", "simulators") for text in overrides)
    if not adds or "simulators" in read_tree(source).data.get("science", {}):
        return overrides
    return [*(f"simulators.{name}={{}}" for name in load(source, {}).science.simulators), *overrides]


def structures(source: Path, overrides: Sequence[str] = ()) -> dict[str, Path]:
    """The files of the structures that a YAML file names: the common one under "", and a simulator's own under its name."""
    config = load(source, PLUGINS, overrides)
    own = {name: load(source, PLUGINS, overrides, name).structure_path for name in config.science.simulators}
    return {"": config.structure_path} | {name: path for name, path in own.items() if path != config.structure_path}


def write(run: Path, text: str, files: Mapping[str, Path], overrides: Sequence[str] = ()) -> None:
    """Make a run folder of one YAML text (comments are kept) and the files that `structures` has found."""
    science, machine = edited(*split(text), overrides)
    for name, path in files.items():
        keys = ("simulators", name) if name else ()
        science = yaml_marks.edit(science, (*keys, "system", "structure"), path.name)
    write_folder(run, science, machine, *files.values())


def write_folder(run: Path, science: str, machine: str, *files: Path) -> None:
    """Write the texts of run.yaml and machine.yaml, and copies of the structures' files.

    Raises BadSetting for a file that is not there, or two of one name.
    """
    contents: dict[str, bytes] = {}
    for path in files:
        if not path.is_file():
            raise BadSetting("system.structure: no such file", str(path), "the path is relative to the configuration's folder")
        if contents.setdefault(path.name, data := path.read_bytes()) != data:
            raise BadSetting(f"another file of the run is called {path.name} too", str(path), "give it another name")
    atomic.make_folder(run)
    contents |= {MACHINE: machine.encode(), SCIENCE: science.encode()}
    for name, data in contents.items():
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
        if place == "science" and keys[0] == "simulators" and len(keys) > 1:
            named = yaml_marks.parse(texts[place], SCIENCE).data.get("simulators", {})
            if keys[1] not in named:  # behind the others: the first one is the one that needs no name
                texts[place] = yaml_marks.edit(texts[place], ("simulators",), {**named, keys[1]: {}})
        texts[place] = yaml_marks.edit(texts[place], tuple(keys), new)
    return texts["science"], texts["machine"]


def clear_controls(run: Path, senders: Sequence[str] = ()) -> None:
    """Remove STOP, PAUSE and FREEZE of earlier requests: those for single jobs, or with no `senders` named all of them."""
    for word in names.CONTROLS:
        everything = (word, *(path.name for path in (run / names.CONTROL).glob(names.control(word, "*"))))
        for name in [names.control(word, sender) for sender in senders] or everything:
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


def _check_systems(source: Path, overrides: Sequence[str], config: Config) -> None:
    """What neither daemon would see before labels have been paid for, of every simulator's structure."""
    for name in config.science.simulators:
        system = read_system(load(source, PLUGINS, overrides, name))
        charges.check(config.science.learner, system.numbers, system.structure.pbc)


def _changed_folder(run: Path, overrides: Sequence[str]) -> Path:
    config = load(run, PLUGINS, overrides)
    _check_systems(run, overrides, config)
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


def uses_weights(folder: Path, config: Config) -> bool:
    """Whether a sampler of the run would use a trainer's weights; without one no trainer is started."""
    return any(learns(load(folder, PLUGINS, simulator=name).science.sampler) for name in config.science.simulators)
