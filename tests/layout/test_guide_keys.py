"""The guide names every key of every plug-in and every event of both ledgers."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from protocol.settings import plugin_names
from renkei.plugins import PLUGINS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "user-guide.md").read_text("utf-8")
CODE = "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", GUIDE, re.MULTILINE | re.DOTALL))
NAMED = {*re.findall(r"`(?:\w+\.)*(\w+)`", GUIDE), *re.findall(r"\b(\w+):(?=\s|`|$)", CODE, re.MULTILINE)}  # `key`, or key: value
LEDGERS = GUIDE.partition("**The ledger**")[2].partition("\n## ")[0]
PACKAGES = ("sim_daemon", "train_daemon", "protocol")
KINDS = [(kind, name) for kind in PLUGINS for name in plugin_names(PLUGINS[kind])]


def keys(kind: Any) -> Iterator[str]:
    """Names of the keys of a section, and of those inside it."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        for part in get_args(kind):
            yield from keys(part)
        return
    for name, field in kind.model_fields.items():
        yield name
        yield from keys(field.annotation)


def events() -> Iterator[str]:
    """Every literal `"event": "..."` of the packages that write ledgers."""
    for file in (f for package in PACKAGES for f in (ROOT / package).rglob("*.py")):
        for node in (n for n in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(n, ast.Dict)):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "event":
                    yield from (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))


@pytest.mark.parametrize(("kind", "name"), KINDS)
def test_the_guide_names_every_key(kind, name):
    assert sorted({*keys(PLUGINS[kind](name).Settings)} - NAMED) == []


def test_the_guide_names_every_event():
    found = {*events()}
    assert {"step", "gave_up", "block_end", "published"} <= found
    assert sorted(found - {*re.findall(r"`(\w+)`", LEDGERS)}) == []
