"""The plain data of a configuration, merged from its files and from the command line, with the place of every key."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import BadSetting
from protocol.sections import Machine, Science, Section
from protocol.setting_errors import nearest, shown
from protocol.yaml_marks import Document, Keys, read, value

MODELS: dict[str, type[Section]] = {"science": Science, "machine": Machine}


@dataclass(frozen=True)
class Tree:
    """The merged plain data (under "science" and "machine"), and where each key comes from."""

    data: dict[Any, Any]
    places: dict[Keys, str]

    def where(self, keys: Keys) -> str:
        """`file:line` of a key, or of the nearest section above it."""
        while keys and keys not in self.places:
            keys = keys[:-1]
        return self.places.get(keys, "")

    def put(self, keys: Keys, new: Any, place: str) -> None:
        """Set one key; sections above it are made."""
        section = self.data
        for key in keys[:-1]:
            if not isinstance(section.get(key), dict):
                section[key] = {}
            section = section[key]
        section[keys[-1]] = new
        for old in [old for old in self.places if old[: len(keys)] == keys]:
            del self.places[old]
        self.places[keys] = place


def read_tree(path: Path) -> Tree:
    """The data of a run folder (run.yaml, machine.yaml) or of one file.

    Raises BadSetting where run.yaml is missing, or a section stands in both files.
    """
    if path.is_dir():
        science, machine = path / "run.yaml", path / "machine.yaml"
        if not science.is_file():
            raise BadSetting("has no run.yaml", str(path), "`renkei init` writes one")
        trees = [_tree_of(read(science), "science")] + ([_tree_of(read(machine), "machine")] if machine.exists() else [])
    else:
        trees = [_tree_of(read(path), "science")]
    data: dict[Any, Any] = {}
    places: dict[Keys, str] = {}
    for tree in trees:
        for place in tree.data:
            if place in data:
                raise BadSetting(
                    f"{place}: given here and in {places.get((place,), str(path))}", tree.where((place,)), "keep one of them"
                )
        data |= tree.data
        places |= tree.places
    data.setdefault("machine", {})
    places.setdefault((), str(path))
    return Tree(data, places)


def _tree_of(document: Document, place: str) -> Tree:
    """One file: the sections `science:` and `machine:`, or the content of one of them."""
    if not MODELS.keys() & document.data.keys():
        places = {(place, *keys): document.where(keys) for keys in document.lines}
        return Tree({place: document.data}, places)
    for key in document.data:
        if key not in MODELS:
            raise BadSetting(
                f"{key}: unknown key{nearest(key, MODELS)}", document.where((key,)), "indent it under science or machine"
            )
        if not isinstance(document.data[key], dict):
            raise BadSetting(f"{key}: must be a section of keys, got {shown(document.data[key])}", document.where((key,)))
    if "science" not in document.data and place == "science":
        raise BadSetting("science: is missing", document.file)
    return Tree(document.data, {keys: document.where(keys) for keys in document.lines if keys})


def of_simulator(tree: Tree, name: str) -> Tree:
    """The science of one simulator: its own keys merged over the common ones."""
    merged = copy.deepcopy(tree)
    root: Keys = ("science", "simulators", name)
    for keys, leaf in leaves(tree.data["science"]["simulators"][name]):
        merged.put(("science", *keys), leaf, tree.where((*root, *keys)))
    return merged


def parse_override(text: str) -> tuple[Keys, Any]:
    """`sampler.beads=8` -> (("science", "sampler", "beads"), 8). BadSetting if it is not of this form, or no key."""
    name, sign, written = text.partition("=")
    keys: Keys = tuple(name.strip().split("."))
    if not sign or not all(keys):
        raise BadSetting("must look like KEY=VALUE, e.g. sampler.beads=8", f"--set {text}")
    if keys[0] not in MODELS:
        place = next((place for place, model in MODELS.items() if keys[0] in model.model_fields), None)
        if place is None:
            known = [key for model in MODELS.values() for key in model.model_fields]
            raise BadSetting(f"{keys[0]}: unknown key{nearest(keys[0], known)}", f"--set {text}")
        keys = (place, *keys)
    if len(keys) == 1:
        raise BadSetting(f"names the whole {keys[0]}; name one key of it", f"--set {text}")
    return keys, value(written, f"--set {text}")


def leaves(data: Any, keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Every value that is no section, with its path."""
    if isinstance(data, Mapping) and data:
        for key, inner in data.items():
            yield from leaves(inner, (*keys, key))
    else:
        yield keys, data
