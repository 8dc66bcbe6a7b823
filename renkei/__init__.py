"""The user's hands: verbs, analysis, reports. `renkei.open(RUN)` reads a run, `renkei.Potential(folder)` is an ASE calculator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from renkei.potential import Potential as Potential
    from renkei.run_data import RunData as open

__all__ = ["Potential", "open"]


def __getattr__(name: str) -> Any:
    """Load what is asked for, so that `import renkei` costs nothing."""
    if name == "open":
        from renkei.run_data import RunData

        return RunData
    if name == "Potential":
        from renkei.potential import Potential

        return Potential
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
