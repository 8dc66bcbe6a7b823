"""tblite: the semi-empirical GFN-xTB methods, in this process. Molecules, and cells periodic in three directions."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from protocol.errors import BadSetting
from protocol.records import Label, Structure
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import Engine, EngineContext, EngineSettings, LabelFailed, NotConverged
from sim_daemon.time_limit import TimeLimit

LONGER = 4  # second rung: so many times the iterations
MIXER_MEMORY = 20  # cycles; with hundreds (tblite remembers all) the mixer may hang, and stretched bonds converge more rarely


class Settings(EngineSettings):
    """Engine `tblite`."""

    name: str = "tblite"
    method: Literal["GFN1-xTB", "GFN2-xTB", "IPEA1-xTB"] = "GFN2-xTB"
    accuracy: float = Field(1.0, gt=0, le=1000)  # tblite's own scale: 1 converges the energy to 1e-6 hartree, smaller is tighter
    electronic_temperature_K: float = Field(300.0, ge=0)  # of the electrons' occupations, not of the nuclei
    max_iterations: int = Field(
        250, ge=1
    )  # of the self-consistent cycle; the second rung of the retry ladder takes four times as many


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine; raises EngineFailed or BadSetting if it cannot be used."""
    bridge.need_one_rank("tblite", context)
    bridge.one_thread()
    try:
        from tblite import library
    except ImportError as error:
        raise bridge.need_package("tblite", "pip install tblite") from error
    return Tblite(settings, context, ".".join(map(str, library.get_version())))


class Tblite:
    """A new calculator for every call: a kept one starts from the last wave function, so its bits depend on history."""

    rungs = 2

    def __init__(self, settings: Settings, context: EngineContext, version: str) -> None:
        self._settings, self._context = settings, context
        self.fingerprint = bridge.fingerprint(settings, context, version)
        self._limit = TimeLimit(settings.timeout_s)

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """As Engine.label; eV, eV/A, eV/A^3."""
        from ase.units import Bohr, Hartree  # ASE's constants: the same numbers as tblite's own ASE calculator

        bridge.check_electrons(structure, self._context)
        with self._limit.over("tblite"):
            result = self._run(structure, rung)
        energy, forces = result["energy"] * Hartree, -result["gradient"] * (Hartree / Bohr)
        stress = result["virial"] * Hartree / abs(np.linalg.det(structure.cell)) if structure.pbc.all() else None
        return bridge.checked_label(structure, energy, forces, stress, self._context, self.fingerprint)

    def _run(self, structure: Structure, rung: int) -> Any:
        try:
            return self._calculator(structure, rung).singlepoint()
        except RuntimeError as error:
            said = str(error).strip()
            if "not converged" in said:
                raise NotConverged(f"tblite: {said}", next="raise engine.max_iterations if many structures fail so") from error
            if "elements" in said:
                raise BadSetting(f"tblite: {said}", "system.structure") from error
            raise LabelFailed(f"tblite: {said}") from error

    def _calculator(self, structure: Structure, rung: int) -> Any:
        from ase.units import Bohr, Hartree, kB
        from tblite.interface import Calculator

        settings, context = self._settings, self._context
        periodic = bool(structure.pbc.all())
        if structure.pbc.any() and not periodic:
            raise BadSetting(
                "tblite knows molecules and cells periodic in three directions, not in one or two", "system.structure"
            )
        box = (structure.cell / Bohr, structure.pbc) if periodic else (None, None)
        unpaired = context.multiplicity - 1
        place = np.array(structure.positions) / Bohr
        calculator = Calculator(settings.method, np.array(structure.numbers), place, float(context.charge), unpaired, *box)
        calculator.set("verbosity", 0)
        calculator.set("accuracy", settings.accuracy)
        calculator.set("temperature", settings.electronic_temperature_K * kB / Hartree)
        calculator.set("max-iter", settings.max_iterations * (LONGER if rung else 1))
        calculator.set("mixer-memory", MIXER_MEMORY)
        return calculator
