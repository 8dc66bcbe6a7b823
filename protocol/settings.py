"""The configuration: YAML files -> frozen sections, with the file and line of every error.

The science and the machine stand in two files of a run folder (run.yaml, machine.yaml) or under `science:` and `machine:`
of one file. Sections of plug-ins (engine, sampler, learner, channel) are validated by the plug-in's own `Settings`.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from protocol import names
from protocol.errors import BadSetting
from protocol.sections import Machine, Science, Section
from protocol.setting_errors import findings, nearest, shown
from protocol.setting_tree import MODELS, Tree, leaves, of_simulator, parse_override, read_tree
from protocol.yaml_marks import Keys, dotted

__all__ = [
    "PLACES",
    "Config",
    "Machine",
    "Plugins",
    "Science",
    "Section",
    "json_schema",
    "load",
    "load_trainer",
    "parse_override",
    "plugin_names",
    "refuse_changes",
    "resolved",
    "science_changes",
]

Plugins = Mapping[str, Callable[[str], ModuleType]]
PLACES = {
    **{kind: "science" for kind in ("engine", "cheap_engine", "sampler", "learner")},
    **{kind: "machine" for kind in ("channel", "scheduler")},
}
LIKE = {"cheap_engine": "engine"}  # sections whose plug-ins are those of another one
UNSAID = {"system": {"structure": "-"}, "engine": {"name": "-"}, "sampler": {"name": "-"}}  # what a trainer alone needs not know
FREE = re.compile(r"coupling\..*|phases\.\w+\.(steps|max_steps|labels)|simulators(\..*)?")  # may change at a resume


@dataclass(frozen=True)
class Config:
    """A validated configuration. Sections of plug-ins that the caller did not ask for stay raw mappings."""

    science: Science
    machine: Machine
    source: Path  # the run folder, or the file

    @property
    def structure_path(self) -> Path:
        """Absolute path of the structure file."""
        folder = self.source if self.source.is_dir() else self.source.parent
        return (folder / self.science.system.structure).resolve()


def load(path: Path, plugins: Plugins, overrides: Sequence[str] = (), simulator: str | None = None) -> Config:
    """The configuration of a run folder or of one YAML file.

    plugins: kind ("engine", "sampler", ...) -> function giving the module whose `Settings` validates that section.
    overrides: `KEY=VALUE`, e.g. "sampler.beads=8".  simulator: merge `simulators.NAME` into the science.
    Raises BadSetting with one sentence per problem.
    """
    path = Path(path)
    tree = read_tree(path)
    for text in overrides:
        keys, new = parse_override(text)
        tree.put(keys, new, f"--set {text}")
    config = _validated(tree, plugins, path)
    names = config.science.simulators
    if simulator is not None and simulator not in names:
        raise BadSetting(
            f"simulators: there is none called {simulator}{nearest(simulator, names)}", tree.where(("science", "simulators"))
        )
    for name in names:  # every simulator is validated, whichever is asked for: errors are told before a job starts
        if names[name]:
            merged = _validated(of_simulator(tree, name), plugins, path)
            config = merged if name == simulator else config
    return config


def load_trainer(path: Path | None, plugins: Plugins, overrides: Sequence[str] = ()) -> Config:
    """What a trainer without a simulator reads: `learner`, `seed` and `machine.trainer`, each optional.

    path: a YAML file or a run folder, whose other sections are left out of account where `plugins` leaves them; None: defaults.
    overrides: `KEY=VALUE`, e.g. "learner.hidden=[40,40]".  Raises BadSetting with one sentence per problem.
    """
    tree = Tree({"science": {}, "machine": {}}, {}) if path is None else read_tree(path)
    for text in overrides:
        tree.put(*parse_override(text), f"--set {text}")
    science = tree.data.setdefault("science", {})
    tree.data["science"] = UNSAID | science
    learner = science.get("learner", {})
    if isinstance(learner, dict):
        tree.data["science"]["learner"] = Science.model_fields["learner"].default | learner
    return _validated(tree, plugins, path or Path())


def resolved(config: Config) -> str:
    """What was understood, every default filled in, as YAML; with the digest of the structure file."""
    try:
        digest = hashlib.sha256(config.structure_path.read_bytes()).hexdigest()
    except OSError:
        digest = None
    data = {
        "science": config.science.model_dump(mode="json"),
        "machine": config.machine.model_dump(mode="json"),
        "files": {"structure_sha256": digest},
    }
    return yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def science_changes(old: str, new: Config) -> list[str]:
    """Dotted keys of the science that differ from a resolved text and must not, at a resume.

    The machine, coupling, phases.*.steps, phases.*.max_steps and phases.*.labels may change; the structure's file may not.
    """
    before, after = ({**_science_leaves(yaml.safe_load(text))} for text in (old, resolved(new)))
    return sorted(
        key for key in before.keys() | after.keys() if before.get(key, ...) != after.get(key, ...) and not FREE.fullmatch(key)
    )


def refuse_changes(old: str | None, new: Config, role: str | None = None) -> None:
    """A run that has begun keeps its science: raises BadSetting that names the keys which changed.

    old: resolved text, None before the first start.  role: whose text it is; the trainer judges `learner` and a simulator the
    rest, for each has left the other's section as it was written. None: all of it.
    """
    changed = [] if old is None else science_changes(old, new)
    if role is not None:
        changed = [key for key in changed if (key.partition(".")[0] == "learner") == (role == names.TRAIN)]
    if changed:
        raise BadSetting(
            f"{', '.join(changed)} changed since this run began",
            str(new.source),
            "put the old value back, or start another run folder",
        )


def plugin_names(load_plugin: Callable[[str], ModuleType]) -> list[str]:
    """The plug-ins of our own that lie beside the function which loads them."""
    folder = Path(inspect.getfile(load_plugin)).parent
    texts = {path.stem: path.read_text("utf-8") for path in folder.glob("[a-z]*.py") if path.stem != "base"}
    return sorted(name for name, text in texts.items() if "class Settings" in text and "def build" in text)


def json_schema(plugins: Plugins) -> dict[str, Any]:
    """JSON schema of a whole configuration (`science:` and `machine:`), for editors."""
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}, "$defs": {}}
    for place, model in MODELS.items():
        schema["properties"][place] = _take_schema(model, place, schema["$defs"])
    for kind, load_plugin in plugins.items():
        choices = [
            _take_schema(load_plugin(name).Settings, f"{kind}_{name}", schema["$defs"]) for name in plugin_names(load_plugin)
        ]
        for name in (name for name in PLACES if LIKE.get(name, name) == kind):
            schema["$defs"][PLACES[name]]["properties"][name] = {"anyOf": choices, "type": "object"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Renkei run", **schema}


def _take_schema(model: type[BaseModel], name: str, shared: dict[str, Any]) -> dict[str, Any]:
    own = model.model_json_schema(ref_template=f"#/$defs/{name}_{{model}}")
    shared.update({f"{name}_{key}": inner for key, inner in own.pop("$defs", {}).items()})
    if "_" in name:
        own["properties"]["name"] = {"const": name.partition("_")[2]}
    shared[name] = own
    return {"$ref": f"#/$defs/{name}"}


def _science_leaves(data: Mapping[str, Any]) -> dict[str, Any]:
    science = {dotted(keys): leaf for keys, leaf in leaves(data.get("science", {}))}
    digest = data.get("files", {}).get("structure_sha256")
    science["system.structure"] = digest or science.get("system.structure")  # the same file under another name is no change
    return science


def _validated(tree: Tree, plugins: Plugins, source: Path) -> Config:
    problems: list[tuple[Keys, str]] = []
    made: dict[str, Any] = {}
    for place, model in MODELS.items():
        data = dict(tree.data[place])
        for kind in (kind for kind, home in PLACES.items() if home == place):
            field = model.model_fields[kind]
            if kind in data or not field.is_required():
                raw = data.get(kind, field.default)
                if kind in LIKE and raw is None:
                    continue
                data[kind], wrong = _plugin_section(kind, raw, plugins.get(LIKE.get(kind, kind)))
                problems += [((place, *keys), what) for keys, what in wrong]
        try:
            made[place] = model.model_validate(data)
        except ValidationError as error:
            problems += [((place, *finding.keys), finding.what) for finding in findings(error, model, data)]
    if problems:
        raise _error(tree, problems)
    return Config(made["science"], made["machine"], source)


def _plugin_section(kind: str, raw: Any, load_plugin: Callable[[str], ModuleType] | None) -> tuple[Any, list[tuple[Keys, str]]]:
    """The section of one plug-in, validated by its Settings; with what is wrong."""
    if not isinstance(raw, Mapping):
        return raw, [((kind,), f"must be a section of keys, got {shown(raw)}")]
    if "name" not in raw:
        known = f"; known: {', '.join(plugin_names(load_plugin))}" if load_plugin else ""
        return raw, [((kind, "name"), f"is missing{known}")]
    if not isinstance(raw["name"], str):
        return raw, [((kind, "name"), f"must be text, got {shown(raw['name'])}")]
    if load_plugin is None:
        return dict(raw), []
    module = _find_plugin(kind, raw["name"], load_plugin)
    if isinstance(module, str):
        return raw, [((kind, "name"), module)]
    try:
        return module.Settings.model_validate(raw), []
    except ValidationError as error:
        return raw, [((kind, *finding.keys), finding.what) for finding in findings(error, module.Settings, raw)]


def _find_plugin(kind: str, name: str, load_plugin: Callable[[str], ModuleType]) -> ModuleType | str:
    """The plug-in's module, or what is wrong with its name."""
    known = plugin_names(load_plugin)
    unknown = f"there is no {kind} called {name!r}{nearest(name, known)}"
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) or ("." not in name and known and name not in known):
        return unknown
    try:
        module = load_plugin(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.rpartition(".")[2] == name or name.startswith(missing):
            return unknown
        return f"{kind} {name} needs the Python package {missing}, which is not installed"
    return module if hasattr(module, "Settings") else f"{name} is no {kind}: the module defines no Settings"


def _error(tree: Tree, problems: Sequence[tuple[Keys, str]]) -> BadSetting:
    """One error of all problems, in the order of the file; a line each."""
    told = [(tree.where(keys), f"{dotted(keys[1:])}: {what}" if keys[1:] else what) for keys, what in problems]
    told = sorted(
        dict.fromkeys(told), key=lambda row: (row[0].rpartition(":")[0], int("0" + re.sub(r"\D", "", row[0].rpartition(":")[2])))
    )
    first, *rest = told
    return BadSetting("\n".join([first[1], *(f"{where}: {what}" for where, what in rest)]), first[0])
