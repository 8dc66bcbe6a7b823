"""YAML with the line of every key, and edits that keep the comments.

Numbers and truth values follow YAML 1.2 where PyYAML does not: `1e-8` is a number, `No` (nobelium) is text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from protocol.errors import BadSetting

MOST_KEYS, DEEPEST = 10_000, 100  # of one document
Keys = tuple[Any, ...]  # path of keys and list indices from the root of a document
FLOAT = re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$")
INTEGER = re.compile(r"^[-+]?\d[\d_]*$")


class _Loader(yaml.SafeLoader):
    """The safe loader with the scalar rules of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {"": [("tag:yaml.org,2002:null", re.compile("^$"))]}
for _first in "~nN":
    _Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL)$"), _first)
for _first in "tTfF":
    _Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), _first)
for _first in "-+0123456789.":
    _Loader.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, _first)
    _Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, _first)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value.replace("_", "")))
_Loader.add_constructor("tag:yaml.org,2002:float", lambda _, node: _number(node.value))


def _number(text: str) -> float:
    plain = text.replace("_", "").lower()
    return float(plain.replace(".inf", "inf").replace(".nan", "nan"))


@dataclass(frozen=True)
class Document:
    """Plain data of one file, and where each key stands in it."""

    data: dict[Any, Any]
    lines: dict[Keys, int]  # from 1; of the key, or of the list item
    file: str  # as people wrote it

    def where(self, keys: Keys) -> str:
        """`file:line` of a key, or of the nearest section above it."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.file}:{self.lines.get(keys, 1)}"


def read(path: Path) -> Document:
    """Read one YAML file; BadSetting with file and line for whatever is wrong with it."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise BadSetting("no such file", str(path)) from None
    except OSError as error:
        raise BadSetting(f"cannot be read: {error.strerror}", str(path)) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadSetting("is not UTF-8 text", f"{path}:{line}", "save it as UTF-8") from None
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """Parse a document whose root is a section of keys; BadSetting, with the line, for anything else."""
    node = _compose(text, file)
    if node is None:
        raise BadSetting("is empty", file, "`renkei init` writes a complete example")
    if not isinstance(node, yaml.MappingNode):
        raise BadSetting("must be a section of keys (`key: value`)", f"{file}:{node.start_mark.line + 1}")
    lines: dict[Keys, int] = {(): 1}
    data = _plain(node, (), lines, file, ())
    return Document(data, lines, file)


def value(text: str, where: str) -> Any:
    """One YAML value, as given on a command line."""
    node = _compose(text, where)
    return None if node is None else _plain(node, (), {}, where, ())


def _compose(text: str, file: str) -> yaml.Node | None:
    loader = None
    try:
        loader = _Loader(text)
        node: yaml.Node | None = loader.get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        if "\\t" in (error.problem or ""):
            raise BadSetting("a tab stands where YAML wants spaces", f"{file}:{line}", "indent with spaces") from None
        raise BadSetting(f"is not valid YAML: {error.problem or error.context}", f"{file}:{line}") from None
    except yaml.YAMLError as error:
        raise BadSetting(f"is not valid YAML: {' '.join(str(error).split())}", file) from None
    except RecursionError:
        raise BadSetting("is nested too deeply", file) from None
    finally:
        if loader is not None:
            loader.dispose()


def _plain(node: yaml.Node, keys: Keys, lines: dict[Keys, int], file: str, above: tuple[int, ...]) -> Any:
    """Plain data of a node; fills `lines`. `above` holds the ids of the nodes that we are in, to refuse loops."""
    line = node.start_mark.line + 1
    if id(node) in above:
        raise BadSetting("a section refers to itself", f"{file}:{line}")
    if len(lines) > MOST_KEYS or len(above) > DEEPEST:  # aliases of aliases multiply
        raise BadSetting("is too large, or nested too deeply, for a configuration", f"{file}:{line}")
    above = (*above, id(node))
    if isinstance(node, yaml.MappingNode):
        return _plain_mapping(node, keys, lines, file, above)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, child in enumerate(node.value):
            lines[(*keys, index)] = child.start_mark.line + 1
            items.append(_plain(child, (*keys, index), lines, file, above))
        return items
    return _scalar(node, file)


def _plain_mapping(
    node: yaml.MappingNode, keys: Keys, lines: dict[Keys, int], file: str, above: tuple[int, ...]
) -> dict[Any, Any]:
    section: dict[Any, Any] = {}
    for key_node, child in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise BadSetting("a key must be a word or a number", f"{file}:{line}")
        key = _scalar(key_node, file)
        path = (*keys, key)
        if key in section:
            raise BadSetting(f"{dotted(path)}: given twice, first in line {lines[path]}", f"{file}:{line}", "keep one of them")
        lines[path] = line
        section[key] = _plain(child, path, lines, file, above)
    return section


def _scalar(node: yaml.Node, file: str) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        problem = getattr(error, "problem", None) or str(error)
        raise BadSetting(f"is not valid YAML: {problem}", f"{file}:{node.start_mark.line + 1}") from None
    finally:
        loader.dispose()


def dotted(keys: Keys) -> str:
    """`sampler.ensemble.temperature_K`, `learner.hidden[1]`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) and text else f".{key}" if text else str(key)
    return text


def edit(text: str, keys: Keys, new: Any) -> str:
    """The text of a YAML mapping with one key set, comments and layout kept.

    A key that is there gets a new value in place; one that is not is put at the head of the deepest section that is there.
    """
    node, depth = _compose(text, "edit"), 0
    while isinstance(node, yaml.MappingNode) and depth < len(keys):
        child = next((value for key, value in node.value if _scalar(key, "edit") == keys[depth]), None)
        if child is None:
            return _insert(text, node, keys[depth:], new)
        node, depth = child, depth + 1
    if node is None:
        return text + _flow({keys[0]: _nest(keys[1:], new)})[1:-1] + "\n"
    start, end = node.start_mark.index, _end(text, node)
    written = _flow(_nest(keys[depth:], new))
    space = " " if start and text[start - 1] == ":" else ""
    return text[:start] + space + written + text[end:]


def _insert(text: str, node: yaml.MappingNode, keys: Keys, new: Any) -> str:
    pair = _flow({keys[0]: _nest(keys[1:], new)})[1:-1]
    start = node.start_mark.index
    if node.flow_style:
        return text[: start + 1] + pair + (", " if node.value else "") + text[start + 1 :]
    return text[:start] + pair + "\n" + " " * node.start_mark.column + text[start:]


def _end(text: str, node: yaml.Node) -> int:
    """Where a value ends: a block's end mark lies behind the blank lines and comments that follow it."""
    if isinstance(node, yaml.ScalarNode):
        return node.end_mark.index
    if isinstance(node, yaml.CollectionNode) and (node.flow_style or not node.value):
        return node.end_mark.index
    last = node.value[-1]
    return _end(text, last[1] if isinstance(last, tuple) else last)


def _nest(keys: Keys, new: Any) -> Any:
    for key in reversed(keys):
        new = {key: new}
    return new


def _flow(data: Any) -> str:
    text = yaml.safe_dump(data, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
