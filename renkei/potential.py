"""A published potential as an ASE calculator; needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.data import chemical_symbols

from kernels.potentials import base as potentials
from protocol.errors import BadSetting
from protocol.records import Card
from renkei import artefact


class Potential(Calculator):
    """ASE calculator of a published network, e.g. `RUN/train/epoch-0001/weights/generation-000003`, or of aenet's files.

    Energies in eV, forces in eV/A, stress in eV/A^3 (Voigt, tension positive). The restraint of a free cluster is not
    part of it: it belongs to the run's target, not to the trained potential.
    """

    implemented_properties = ["energy", "forces", "stress"]
    folder: Path  # where the network lies
    card: Card | None  # None for aenet's files
    _potential: potentials.Potential

    def __init__(self, folder: str | Path, **kwargs: Any) -> None:
        """Read and verify a weights folder, a result of `renkei train`, or the newest generation of a run.

        Raises BadSetting where there is none.
        """
        found = artefact.find(Path(folder))
        self._hold(found.potential, found.folder, found.card, kwargs)

    @classmethod
    def from_aenet(cls, folder: str | Path, version: int = 0, **kwargs: Any) -> Potential:
        """Calculator of a folder with a .nn.ascii or .nn file of aenet for each species.

        version: of aenet's descriptor, which its files do not name: 0 (aenet 2.0.4), 1 (2.0.3 and before) or 10;
        kernels/potentials/aenet.py says what they mean.
        Raises BadSetting, one sentence that names the file, where they are not one potential.
        """
        from kernels.potentials import aenet

        calculator = cls.__new__(cls)
        try:
            calculator._hold(aenet.build(Path(folder), -1, version), Path(folder), None, kwargs)
        except ValueError as error:
            raise BadSetting(str(error)) from error
        return calculator

    def _hold(self, potential: potentials.Potential, folder: Path, card: Card | None, options: dict[str, Any]) -> None:
        super().__init__(**options)
        self.folder, self.card, self._potential = folder, card, potential

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes
    ) -> None:
        """ASE's entry: fills `results` for the structure.

        Raises BadSetting for a species that the model has not learned, PropertyNotImplementedError for a stress without a cell.
        """
        super().calculate(atoms, properties, system_changes)
        structure = cast(Atoms, self.atoms)
        foreign = set(structure.numbers.tolist()) - set(self._potential.species)
        if foreign:
            told, known = ([chemical_symbols[n] for n in sorted(found)] for found in (foreign, self._potential.species))
            raise BadSetting(f"the potential knows {', '.join(known)}, not {', '.join(told)}", str(self.folder))
        found = self._potential.evaluate(
            structure.positions[None], structure.numbers, np.asarray(structure.cell[:]), structure.pbc
        )
        self.results = {"energy": float(found.energy[0]), "forces": found.forces[0]}
        self.results["free_energy"] = self.results["energy"]
        if found.stress is not None and structure.pbc.all():
            self.results["stress"] = found.stress[0].ravel()[[0, 4, 8, 5, 2, 1]]
        elif "stress" in properties:
            raise PropertyNotImplementedError("stress needs a cell that is periodic in three directions")
