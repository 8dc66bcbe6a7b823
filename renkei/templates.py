"""Finds the shipped configurations and job scripts, in a checkout or in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from protocol.errors import BadSetting, EnvironmentFailed
from protocol.setting_errors import nearest

HERE = Path(__file__).resolve().parent


def folder(kind: str) -> Path:
    """Folder of `configs` or `jobscripts`. EnvironmentFailed where the installation lacks it."""
    checkout = HERE.parent
    # site-packages may hold a stranger's folder of this name: beside us counts only in a checkout
    found = checkout / kind if (checkout / "pyproject.toml").is_file() else HERE / kind
    if not found.is_dir():
        raise EnvironmentFailed(f"the installation has no {kind}/", str(found), "install renkei again")
    return found


def machine_names() -> list[str]:
    """Names of the shipped machine profiles."""
    return sorted(path.stem for path in (folder("configs") / "machines").glob("*.yaml"))


def machine(name: str) -> Path:
    """File of one machine profile; BadSetting with the nearest name for an unknown one."""
    names = machine_names()
    if name not in names:
        raise BadSetting(f"there is no machine profile {name!r}{nearest(name, names)}", "--machine")
    return folder("configs") / "machines" / f"{name}.yaml"


def config_names() -> list[str]:
    """Names of the shipped configurations."""
    return sorted(path.stem for path in folder("configs").glob("*.yaml"))


def config(name: str) -> Path:
    """File of one shipped configuration; BadSetting with the nearest name for an unknown one."""
    names = config_names()
    if name not in names:
        raise BadSetting(f"there is no shipped configuration {name!r}{nearest(name, names)}", "--config")
    return folder("configs") / f"{name}.yaml"
