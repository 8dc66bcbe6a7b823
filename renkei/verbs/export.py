"""Give a potential or the labels of a run to other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Target(StrEnum):
    """What can be written."""

    AENET = "aenet"
    ASE = "ase"
    EXTXYZ = "extxyz"
    LAMMPS = "lammps"


def export(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="potential, result of `train`, or run; extxyz: a run")],
    to: Annotated[Target, typer.Option("--to", help="aenet: .nn.ascii files; ase: folder, README; lammps; extxyz: all labels")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="folder to write, a new one")],
) -> None:
    """Write a potential for aenet, ASE or LAMMPS, or all labels of a run as extended xyz."""
    from protocol import atomic
    from protocol.errors import BadSetting
    from renkei import exports

    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise BadSetting("is there already", f"--into {into}", "name a new folder")
    draft = atomic.make_temporary_folder(into)
    try:
        written = exports.KINDS[to.value](source, draft)
        if into.is_dir():
            into.rmdir()
        atomic.publish_folder(draft, into)
    except BaseException:
        atomic.discard(draft)
        raise
    print(f"{into}: {', '.join(written)}")
