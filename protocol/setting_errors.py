"""Turns pydantic's findings into one clear sentence each, with the line of the key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from protocol.yaml_marks import Keys

LIMITS = {
    "greater_than": ("gt", ">"),
    "greater_than_equal": ("ge", ">="),
    "less_than": ("lt", "<"),
    "less_than_equal": ("le", "<="),
}
KINDS = {
    "a whole number": ("int_type", "int_parsing", "int_from_float", "int_parsing_size"),
    "a number": ("float_type", "float_parsing"),
    "a finite number": ("finite_number",),
    "true or false": ("bool_type", "bool_parsing"),
    "text": ("string_type",),
    "a section of keys": ("model_type", "model_attributes_type", "dict_type", "mapping_type"),
    "a list": ("list_type", "tuple_type", "iterable_type", "set_type", "frozen_set_type"),
}
KIND_OF = {error: kind for kind, errors in KINDS.items() for error in errors}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with one key."""

    keys: Keys
    what: str


def nearest(word: Any, words: Iterable[str]) -> str:
    """`; did you mean beads?`, or the whole list if none is near and the list is short."""
    known = sorted(words)
    close = (
        difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
        or [name for name in known if name.startswith(f"{word}_")][:1]
    )
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known)}" if 0 < len(known) <= 16 else ""


def findings(error: ValidationError, model: type[BaseModel], data: Mapping[Any, Any]) -> list[Finding]:
    """What is wrong with `data`, one finding per key; branches of a union are told as one."""
    groups: dict[Keys, list[Any]] = {}
    for row in error.errors(include_url=False):
        groups.setdefault(_keys(row["loc"], row["type"], data), []).append(row)
    return [Finding(keys, _sentence(rows, keys, model, data)) for keys, rows in groups.items()]


def shown(value: Any) -> str:
    """A value as people write it in YAML."""
    if isinstance(value, Mapping):
        return "a section" if value else "an empty section"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(location: Sequence[Any], kind: str, data: Any) -> Keys:
    """The part of pydantic's location that exists in the file: the rest names branches of a union."""
    keys: list[Any] = []
    for part in location:
        if isinstance(data, Mapping) and part in data:
            data = data[part]
        elif isinstance(data, Mapping) and str(part).lstrip("-").isdigit() and int(part) in data:
            part, data = int(part), data[int(part)]
        elif isinstance(data, list | tuple) and isinstance(part, int) and part < len(data):
            data = data[part]
        elif kind == "missing" and part == location[-1]:
            pass
        else:
            continue
        keys.append(part)
    return tuple(keys)


def _sentence(rows: Sequence[Any], keys: Keys, model: type[BaseModel], data: Any) -> str:
    ranges = [row for row in rows if row["type"] in LIMITS]
    wants = list(dict.fromkeys(_want(row) for row in ranges or rows))
    first = (ranges or rows)[0]
    if first["type"] == "missing":
        return "is missing"
    if first["type"] == "extra_forbidden":
        section = _section(model, keys[:-1], data)
        return "unknown key" + (nearest(keys[-1], section.model_fields) if section else "")
    if first["type"] == "value_error":
        said, given = str(first["ctx"]["error"]), first["input"]
        return said if "got" in said or not isinstance(given, str | int | float) else f"{said}, got {shown(given)}"
    return f"must be {' or '.join(wants)}, got {shown(first['input'])}"


def _want(row: Mapping[str, Any]) -> str:
    kind, context = row["type"], row.get("ctx", {})
    if kind in LIMITS:
        name, sign = LIMITS[kind]
        return f"{sign} {context[name]:g}" if isinstance(context[name], float) else f"{sign} {context[name]}"
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind == "string_pattern_mismatch":
        return f"text like {context['pattern']}"
    if kind in ("too_short", "too_long"):
        bound = "at least" if kind == "too_short" else "at most"
        return f"a list of {bound} {context.get('min_length', context.get('max_length'))}"
    return KIND_OF.get(kind, str(row["msg"]).lower().removeprefix("input should be "))


def _section(model: type[BaseModel], keys: Keys, data: Any) -> type[BaseModel] | None:
    """The model of a nested section, if it is one; of several, that which has the name that is given."""
    current: type[BaseModel] | None = model
    for key in keys:
        field = current.model_fields.get(str(key)) if current else None
        data = data.get(key) if isinstance(data, Mapping) else None
        name = data.get("name") if isinstance(data, Mapping) else None
        possible = _models_in(field.annotation) if field else []
        current = next((found for found in possible if _is_called(found, name)), next(iter(possible), None))
    return current


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [found for part in get_args(annotation) for found in _models_in(part)]
    return []


def _is_called(model: type[BaseModel], name: Any) -> bool:
    field = model.model_fields.get("name")
    return field is not None and name in get_args(field.annotation)
