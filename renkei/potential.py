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
from protocol import atomic, names, weights
from protocol.errors import BadSetting


class Potential(Calculator):
    """ASE calculator of one weights folder, e.g. `RUN/train/epoch-0001/weights/generation-000003`.

    Energies in eV, forces in eV/A, stress in eV/A^3 (Voigt, tension positive). The restraint of a free cluster is not
    part of it: it belongs to the run's target, not to the trained potential.
    """

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, folder: str | Path, **kwargs: Any) -> None:
        """Read and verify a weights folder. Raises BadSetting where there is none."""
        super().__init__(**kwargs)
        self.folder = Path(folder)
        if not (self.folder / names.CARD).is_file():
            raise BadSetting(f"there is no {names.CARD}", str(self.folder), "give a folder weights/generation-NNNNNN of a run")
        self.card = weights.verify(self.folder, atomic.sha256(self.folder / names.CARD))
        self._potential = potentials.load(self.card.format, self.folder, self.card.generation)

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Sequence[str] = all_changes
    ) -> None:
        """ASE's entry: fills `results` for the structure. Raises BadSetting for a species that the model has not learned."""
        super().calculate(atoms, properties, system_changes)
        structure = cast(Atoms, self.atoms)
        foreign = set(structure.numbers.tolist()) - set(self.card.species)
        if foreign:
            told, known = ([chemical_symbols[n] for n in sorted(found)] for found in (foreign, self.card.species))
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
