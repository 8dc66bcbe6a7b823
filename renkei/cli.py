"""The command line: finds the verbs by their file names and imports only the one that is asked for."""

from __future__ import annotations

import ast
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import Exit, RenkeiError

VERBS = Path(__file__).parent / "verbs"
HELP = "Renkei: exact first-principles ensembles by self-learning path-integral hybrid Monte Carlo."


def verbs() -> dict[str, str]:
    """Verb -> the first line of its file's docstring."""
    files = sorted(path for path in VERBS.glob("[a-z]*.py"))
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0] for path in files}


def build(words: Sequence[str]) -> typer.Typer:
    """The application for a command line: the verb in `words` is imported, the others are names with a line of help."""
    app = typer.Typer(
        help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
    )
    asked = next((word for word in words if not word.startswith("-")), "")
    for name, line in verbs().items():
        command: Callable[..., None] = getattr(import_module(f"renkei.verbs.{name}"), name) if name == asked else _unasked
        app.command(name, help=None if name == asked else line)(command)
    app.callback()(_shell)
    return app


def main(words: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    words = sys.argv[1:] if words is None else words
    try:
        build(words)(args=list(words), prog_name="renkei")
    except RenkeiError as error:
        print(f"renkei: {error}", file=sys.stderr)
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        print("renkei: interrupted", file=sys.stderr)
        sys.exit(int(Exit.INTERRUPTED))
    except BrokenPipeError:  # `renkei status | head`: nobody reads on, and the interpreter's last flush must not complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(Exit.DONE))
    except Exception as error:
        print(
            f"renkei: a defect of renkei: {type(error).__name__}: {error}; its traceback is in {_log_defect()}", file=sys.stderr
        )
        sys.exit(int(Exit.DEFECT))


def _log_defect() -> str:
    with tempfile.NamedTemporaryFile("w", prefix="renkei-defect-", suffix=".log", delete=False) as log:
        traceback.print_exc(file=log)
    return log.name


def _tell_version(asked: bool) -> None:
    if asked:
        print(f"renkei {metadata.version('renkei')}")
        raise typer.Exit


def _shell(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="tell it, and end")] = False,
) -> None:
    """The options of renkei itself."""


def _unasked() -> None:
    """Stands for a verb that was not asked for."""
