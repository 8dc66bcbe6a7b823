"""Any ASE calculator by its dotted name; a new object for every call, because kept ones carry history.

engine: {name: ase, calculator: ase.calculators.emt.EMT, parameters: {asap_cutoff: true}}
"""

from __future__ import annotations

import hashlib
import inspect
import subprocess
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from protocol.errors import BadSetting, EngineFailed
from protocol.records import Label, Structure
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import Engine, EngineContext, EngineCrashed, EngineSettings, LabelFailed, NotConverged
from sim_daemon.time_limit import TimeLimit


class Settings(EngineSettings):
    """Engine `ase`."""

    name: str = "ase"
    calculator: str = Field(pattern=r"^\w+(\.\w+)+$")  # dotted name of a class or function that makes the calculator
    parameters: dict[str, Any] = {}  # its keyword arguments, in ASE's units
    charge_parameter: str | None = None  # name of the argument that takes system.charge; needed where that is not 0
    multiplicity_parameter: str | None = None  # of the argument that takes system.multiplicity; needed where that is not 1
    without_electrons: bool = False  # a force field, whose energy knows neither charge nor multiplicity: neither is needed


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine; raises EngineFailed or BadSetting if it cannot be used."""
    bridge.need_one_rank("ase", context)
    bridge.one_thread()
    bridge.serial_ase()
    parameters = dict(settings.parameters)
    for name, value, usual in (("charge", context.charge, 0), ("multiplicity", context.multiplicity, 1)):
        key = getattr(settings, f"{name}_parameter")
        if key is not None:
            parameters[key] = value
        elif value != usual and not settings.without_electrons:
            what = f"system.{name} is {value}, and nobody says how this calculator is told so"
            named = f"name the calculator's argument, e.g. {name}_parameter: {name}"
            raise BadSetting(what, f"engine.{name}_parameter", f"{named}; or, for a force field, without_electrons: true")
    return AnyCalculator(settings, context, find(settings.calculator), parameters)


def find(dotted: str) -> Any:
    """The class or function of a dotted name; BadSetting or EngineFailed if there is none."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise EngineFailed(
            f"calculator {dotted} cannot be imported: {error}", "engine.calculator", "install its package"
        ) from error
    except AttributeError as error:
        raise BadSetting(f"{module} has no {name}", "engine.calculator") from error


def version_of(maker: Any) -> str:
    """Version of the package of a class, with a digest of the file that defines it: a user's own file has no version."""
    package = maker.__module__.partition(".")[0]
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        version = str(getattr(import_module(package), "__version__", "unknown"))
    source = inspect.getsourcefile(maker)
    return f"{version} {hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ''}"


class AnyCalculator:
    """Labels of an ASE calculator."""

    rungs = 1

    def __init__(self, settings: Settings, context: EngineContext, maker: Any, parameters: dict[str, Any]) -> None:
        self._context, self._maker, self._parameters = context, maker, parameters
        self._folder = context.scratch / "ase"
        self._limit = TimeLimit(settings.timeout_s)
        self.fingerprint = bridge.fingerprint(settings, context, version_of(maker))

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """As Engine.label; eV, eV/A, eV/A^3."""
        bridge.empty_folder(self._folder)
        calculator = self._calculator()
        atoms = bridge.to_atoms(structure)
        wanted = ["energy", "forces"]
        if structure.pbc.all() and "stress" in getattr(calculator, "implemented_properties", ()):
            wanted.append("stress")
        with self._limit.over(type(calculator).__name__):
            self._calculate(calculator, atoms, wanted)
        results = calculator.results
        stress = bridge.stress_matrix(results["stress"]) if "stress" in wanted else None
        return bridge.checked_label(
            structure, bridge.result_energy(results), results["forces"], stress, self._context, self.fingerprint
        )

    def _calculator(self) -> Any:
        from ase.calculators.calculator import CalculatorError

        try:
            calculator = self._maker(**self._parameters)
        except (CalculatorError, TypeError, ValueError, LookupError, RuntimeError, OSError) as error:
            raise EngineFailed(f"the calculator cannot be made: {error}", "engine.parameters") from error
        if hasattr(calculator, "directory"):
            calculator.directory = self._folder
        return calculator

    def _calculate(self, calculator: Any, atoms: Any, wanted: list[str]) -> None:
        """Run the calculator and sort its failures."""
        from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError, ReadError, SCFError

        name = type(calculator).__name__
        try:
            calculator.calculate(atoms, wanted)
        except SCFError as error:
            raise NotConverged(f"{name}: {error}") from error
        except PropertyNotImplementedError as error:
            raise EngineFailed(f"{name} has no {error}: energies and forces are needed", "engine.calculator") from error
        except (ReadError, OSError, subprocess.SubprocessError) as error:
            bridge.check_disk(self._folder)
            raise EngineCrashed(f"{name}: {error}", str(self._folder)) from error
        except (CalculatorError, RuntimeError, ArithmeticError, ValueError, np.linalg.LinAlgError) as error:
            if runs_a_program(calculator):
                raise EngineCrashed(f"{name}: {error}", str(self._folder)) from error
            kind = NotConverged if "converge" in str(error).lower() else LabelFailed
            raise kind(f"{name}: {error}") from error


def runs_a_program(calculator: Any) -> bool:
    """Whether the calculator works through files of another program, whose failures may be accidents."""
    from ase.calculators.calculator import FileIOCalculator
    from ase.calculators.genericfileio import GenericFileIOCalculator

    return isinstance(calculator, FileIOCalculator | GenericFileIOCalculator)
