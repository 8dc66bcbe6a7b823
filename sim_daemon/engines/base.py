"""Contract of a first-principles engine.

To add one: a file here with `Settings` (a frozen pydantic model that extends EngineSettings) and
`build(settings, context) -> Engine`, and tests/sim_daemon/engines/test_NAME.py. The file name is the YAML name;
a dotted name is a module of the user's own. The head of the file imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Protocol

from pydantic import Field

from protocol.errors import RenkeiError
from protocol.records import Label, Structure
from protocol.settings import Section


class EngineSettings(Section):
    """Keys that every engine has."""

    name: str
    attempts: int = Field(3, ge=1, le=20)  # tries after a crash, time-out or unreadable output, before the run ends
    timeout_s: float = Field(3600.0, gt=0)  # of one call
    max_energy_eV_per_atom: float = Field(50.0, gt=0)  # guard: above the start structure's energy; the target is +infinity beyond
    max_force_eV_per_A: float = Field(100.0, gt=0)  # guard: largest force component


@dataclass(frozen=True)
class EngineContext:
    """What the system and the machine say to an engine."""

    charge: int
    multiplicity: int
    scratch: Path  # a folder of this rank's own
    ranks: int  # MPI ranks that one label may use


class LabelFailed(RenkeiError):
    """This structure has no label: the engine ran and said so. Deterministic in the structure."""


class NotConverged(LabelFailed):
    """The self-consistent cycle did not converge."""


class EngineCrashed(RenkeiError):
    """The engine crashed, timed out, or left unreadable output: says nothing about the structure; try again."""


class Engine(Protocol):
    """A stateless map from a structure to its label."""

    fingerprint: str  # name, version, and every setting that changes the energy
    rungs: int  # length of the retry ladder (1: no other way to try)

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """Label one structure. Same structure and rung, same bits, whatever was labelled before.

        Raises LabelFailed (a property of the structure) or EngineCrashed (an accident).
        """
        ...


def load(name: str) -> ModuleType:
    """The plug-in `sim_daemon/engines/NAME.py`, or a stranger's "my_lab.engines.code"."""
    return import_module(name if "." in name else f"sim_daemon.engines.{name}")
