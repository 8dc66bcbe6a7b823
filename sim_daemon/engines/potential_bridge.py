"""An analytic potential that plays first principles: what the engines for tests and teaching share. Not an engine itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pydantic import Field

from kernels.potentials.base import Evaluation
from protocol.errors import BadSetting
from protocol.records import Array, Label, Structure
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import EngineContext, EngineSettings

Formula = Callable[[Array, Array, Array, Array], Evaluation]  # Potential.evaluate

FORMULA = "1"  # version of the formulas; a change of one changes the fingerprints

Vector = tuple[float, float, float]


class WellSettings(EngineSettings):
    """Keys of the engines that hold each atom in a well of its own."""

    centres_A: list[Vector] = Field([(0.0, 0.0, 0.0)], min_length=1)  # of the wells: one for each atom, or one for all


def own_keys(settings: EngineSettings) -> dict[str, Any]:
    """The keys of one engine, without those that every engine has; for `kernels.potentials.NAME.build`."""
    keys = settings.model_dump(exclude=set(EngineSettings.model_fields))
    return {("centres" if key == "centres_A" else key): value for key, value in keys.items()}


class PotentialEngine:
    """Labels of an analytic potential; any charge and multiplicity, they play no part in the energy."""

    rungs = 1

    def __init__(self, settings: EngineSettings, context: EngineContext, formula: Formula) -> None:
        bridge.need_one_rank(settings.name, context)
        self._context, self._formula = context, formula
        self._wells = len(settings.centres_A) if isinstance(settings, WellSettings) else 1
        self.fingerprint = bridge.fingerprint(settings, context, FORMULA)

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """As Engine.label; eV, eV/A, eV/A^3. BadSetting where there are centres for another number of atoms."""
        if self._wells not in (1, len(structure.numbers)):
            what = f"{self._wells} centres for {len(structure.numbers)} atoms"
            raise BadSetting(what, "engine.centres_A", "give one for each atom, or one for all")
        value = self._formula(np.array(structure.positions)[None], structure.numbers, structure.cell, structure.pbc)
        stress = None if value.stress is None else value.stress[0]
        return bridge.checked_label(structure, value.energy[0], value.forces[0], stress, self._context, self.fingerprint)
