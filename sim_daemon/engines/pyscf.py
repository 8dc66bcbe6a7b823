"""PySCF: Hartree-Fock and density functionals for molecules, in this process (`pip install 'renkei[pyscf]'`)."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field

from protocol.errors import BadSetting
from protocol.records import Label, Structure
from sim_daemon.engines import ase_bridge as bridge
from sim_daemon.engines.base import Engine, EngineContext, EngineSettings, LabelFailed, NotConverged
from sim_daemon.time_limit import TimeLimit

HARTREE_FOCK = ("HF", "RHF", "UHF")
LONGER = 4  # second rung: so many times the cycles, of second order


class Settings(EngineSettings):
    """Engine `pyscf`."""

    name: str = "pyscf"
    method: str = Field("PBE", min_length=1)  # HF (restricted or not by the multiplicity), or a functional as PySCF spells it
    basis: str = Field("def2-SVP", min_length=1)
    density_fitting: bool = True
    conv_tol_Ha: float = Field(1e-9, gt=0, le=1e-6)  # of the energy, hartree: the accept step feels its noise times beta
    grid_level: int = Field(3, ge=0, le=9)  # of the functional's integration grid
    max_iterations: int = Field(50, ge=1)  # of the self-consistent cycle; the second rung of the retry ladder is of second order
    max_memory_MB: int = Field(4000, ge=100)


def build(settings: Settings, context: EngineContext) -> Engine:
    """The engine; raises EngineFailed or BadSetting if it cannot be used."""
    bridge.need_one_rank("pyscf", context)
    bridge.one_thread()
    try:
        import pyscf
        from pyscf import dft, lib
    except ImportError as error:
        raise bridge.need_package("pyscf", "pip install 'renkei[pyscf]'") from error
    lib.num_threads(1)
    if settings.method.upper() not in HARTREE_FOCK:
        try:
            dft.libxc.parse_xc(settings.method)
        except (KeyError, ValueError) as error:
            raise BadSetting(f"PySCF knows no functional {settings.method!r}", "engine.method", "e.g. HF, PBE, B3LYP") from error
    elif settings.method.upper() == "RHF" and context.multiplicity != 1:
        raise BadSetting("RHF is for multiplicity 1", "engine.method", "write HF: open shells are then unrestricted")
    return Pyscf(settings, context, pyscf.__version__)


class Pyscf:
    """A new molecule and a new start density for every call, so a label does not depend on the one before."""

    rungs = 2

    def __init__(self, settings: Settings, context: EngineContext, version: str) -> None:
        self._settings, self._context = settings, context
        self.fingerprint = bridge.fingerprint(settings, context, version)
        self._limit = TimeLimit(settings.timeout_s)

    def label(self, structure: Structure, rung: int = 0) -> Label:
        """As Engine.label; eV, eV/A; no stress. BadSetting for a periodic structure."""
        from ase.units import Bohr, Hartree

        if structure.pbc.any():
            raise BadSetting(
                "engine pyscf is for molecules, but the structure is periodic", "system.structure", "use espresso or tblite"
            )
        bridge.check_electrons(structure, self._context)
        with self._limit.over("PySCF"):
            energy, gradient = self._run(structure, rung)
        return bridge.checked_label(
            structure, energy * Hartree, -gradient * (Hartree / Bohr), None, self._context, self.fingerprint
        )

    def _run(self, structure: Structure, rung: int) -> tuple[float, Any]:
        """Energy (hartree) and gradient (N, 3) hartree/bohr."""
        try:
            field = self._field(self._molecule(structure))
            if rung:
                field = field.newton()
                field.max_cycle = LONGER * self._settings.max_iterations
            energy = field.kernel()
            if not field.converged:
                raise NotConverged(f"PySCF: not converged in {self._settings.max_iterations} cycles", f"rung {rung}")
            slope = field.nuc_grad_method()
            slope.grid_response = True  # without it the forces are not quite the derivative of the energy
            return float(energy), slope.kernel()
        except (RuntimeError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise LabelFailed(f"PySCF: {' '.join(str(error).split())}") from error

    def _molecule(self, structure: Structure) -> Any:
        from ase.data import chemical_symbols
        from ase.units import Bohr
        from pyscf import gto
        from pyscf.lib.exceptions import BasisNotFoundError

        atoms = [(chemical_symbols[z], x) for z, x in zip(structure.numbers, np.array(structure.positions) / Bohr, strict=True)]
        settings, context = self._settings, self._context
        try:
            return gto.M(
                atom=atoms, unit="Bohr", basis=settings.basis, charge=context.charge, spin=context.multiplicity - 1,
                verbose=0, max_memory=settings.max_memory_MB, symmetry=False,
            )  # fmt: skip
        except BasisNotFoundError as error:
            raise BadSetting(f"PySCF: {' '.join(str(error).split())}", "engine.basis") from error

    def _field(self, molecule: Any) -> Any:
        from pyscf import dft, scf

        settings, method = self._settings, self._settings.method.upper()
        closed = molecule.spin == 0 and method != "UHF"
        if method in HARTREE_FOCK:
            field = scf.RHF(molecule) if closed else scf.UHF(molecule)
        else:
            field = (dft.RKS if closed else dft.UKS)(molecule, xc=settings.method)
            field.grids.level = settings.grid_level
        if settings.density_fitting:
            field = field.density_fit()
        field.conv_tol, field.max_cycle, field.chkfile = settings.conv_tol_Ha, settings.max_iterations, None
        return field
