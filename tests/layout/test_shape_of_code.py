"""House numbers: short files, short functions, documented with their errors, no bare except."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kernels", "protocol", "sim_daemon", "train_daemon", "renkei")
FILES = sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION = 400, 60


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_lengths_docstrings_and_excepts(file):
    text = file.read_text()
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"bare except in line {node.lineno}"


def public(file: Path) -> Iterator[tuple[ast.FunctionDef | ast.ClassDef, str]]:
    """Functions, classes and methods of a file, with what the class around them says."""
    module = ast.parse(file.read_text())
    for scope in [module, *(n for n in module.body if isinstance(n, ast.ClassDef))]:
        around = "" if scope is module else ast.get_docstring(scope) or ""
        for node in scope.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node, around


def raised(node: ast.AST) -> Iterator[str]:
    """Names of the errors that a function itself raises for its caller: neither functions inside it, nor what it catches."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            yield ast.unparse(child.exc.func)
        elif isinstance(child, ast.Try) and child.handlers:
            for part in (*child.handlers, ast.Module([*child.orelse, *child.finalbody], [])):
                yield from raised(part)
        elif not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            yield from raised(child)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_public_functions_and_classes_are_documented(file):
    for node, _ in public(file):
        assert ast.get_docstring(node), f"{node.name} in line {node.lineno} says nothing of itself"


@pytest.mark.parametrize("file", [file for file in FILES if file.parent.name != "verbs"], ids=name_of)
def test_public_functions_name_the_errors_that_they_raise(file):
    """A verb's error is the command line's; "As the contract" leaves them to the folder's base.py."""
    for node, around in public(file):
        said = f"{ast.get_docstring(node)} {around}"
        errors = {name for name in raised(node) if name[0].isupper()} - {"AssertionError", "NotImplementedError"}
        if isinstance(node, ast.FunctionDef) and not said.startswith("As the contract"):
            unsaid = {name for name in errors if name not in said}
            assert not unsaid, f"{node.name} in line {node.lineno} raises {', '.join(unsaid)} and does not say so"
