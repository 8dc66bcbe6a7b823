"""Are our import names ours in this environment? `kernels` and `protocol` are also names of other projects on PyPI."""

from __future__ import annotations

from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

from protocol.errors import EnvironmentFailed

DISTRIBUTION = "renkei"
NAMES = ("kernels", "protocol", "sim_daemon", "train_daemon")


def check() -> None:
    """EnvironmentFailed if another distribution owns, or another folder shadows, one of our import names."""
    owners = packages_distributions()
    home = Path(__file__).resolve().parents[1]
    for name in NAMES:
        strangers = sorted(set(owners.get(name, [])) - {DISTRIBUTION})
        if strangers:
            _refuse(f"the import name {name!r} belongs to {', '.join(strangers)} in this environment", name)
        spec = find_spec(name)
        if spec is None or spec.origin is None or Path(spec.origin).resolve().parents[1] != home:
            _refuse(f"'import {name}' finds {spec.origin if spec else 'nothing'}, not the one beside {home / 'protocol'}", name)


def _refuse(what: str, name: str) -> None:
    raise EnvironmentFailed(
        what, name, "give renkei an environment of its own: python -m venv renkei-env && renkei-env/bin/pip install renkei"
    )
