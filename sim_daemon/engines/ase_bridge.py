"""What engines share: fingerprints, checked labels, and the care that ASE and numerical libraries need inside an MPI rank.

Not an engine itself; the plug-ins of this folder may import it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protocol.errors import BadSetting, EngineFailed, EnvironmentFailed
from protocol.records import Array, Label, Structure
from sim_daemon.engines.base import EngineContext, EngineSettings, LabelFailed

MACHINE_KEYS = frozenset({"name", "attempts", "timeout_s"})  # of EngineSettings: no number of a label depends on them
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
NOBLE_CORES = (0, 2, 10, 18, 36, 54, 86)


def fingerprint(settings: EngineSettings, context: EngineContext, version: str, **more: Any) -> str:
    """Sha256 of name, version, charge, multiplicity and every setting that can change a number or the guards.

    more: what else counts, e.g. digests of files that the settings name.
    """
    facts = {
        "engine": settings.name,
        "version": version,
        "settings": settings.model_dump(mode="json", exclude=set(MACHINE_KEYS)),
        "charge": context.charge,
        "multiplicity": context.multiplicity,
        **more,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def checked_label(
    structure: Structure, energy: float, forces: Array, stress: Array | None, context: EngineContext, digest: str
) -> Label:
    """The label; LabelFailed if a number is not finite or the forces have another shape.

    energy: eV.  forces: (N, 3) eV/A.  stress: (3, 3) eV/A^3, tension positive, or None.  digest: the engine's fingerprint.
    """
    forces = np.array(forces, dtype=np.float64)
    stress = None if stress is None else np.array(stress, dtype=np.float64)
    if forces.shape != np.shape(structure.positions):
        raise LabelFailed(f"the engine gave forces of shape {forces.shape} for {len(structure.numbers)} atoms")
    for name, value in (("energy", energy), ("forces", forces), ("stress", stress)):
        if value is not None and not np.isfinite(value).all():
            raise LabelFailed(f"the engine's {name} is not a finite number")
    return Label(structure, float(energy), forces, stress, context.charge, context.multiplicity, digest)


def stress_matrix(voigt: Array) -> Array:
    """(3, 3) from ASE's (6,) order xx, yy, zz, yz, xz, xy; same unit."""
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def to_atoms(structure: Structure) -> Any:
    """ASE's Atoms of a structure (copied)."""
    from ase import Atoms

    return Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)


def check_electrons(structure: Structure, context: EngineContext) -> None:
    """BadSetting if charge and multiplicity cannot belong to the structure: libraries abort the process on some of them."""
    electrons = int(np.sum(structure.numbers)) - context.charge
    unpaired = context.multiplicity - 1
    valence = sum(int(z) - max(core for core in NOBLE_CORES if core < z) for z in structure.numbers) - context.charge
    if valence < max(1, unpaired) or (electrons - unpaired) % 2:
        what = f"charge {context.charge} and multiplicity {context.multiplicity} do not fit {electrons} electrons"
        raise BadSetting(what, "system.charge, system.multiplicity", f"{valence} of them are valence electrons")


def need_one_rank(name: str, context: EngineContext) -> None:
    """BadSetting if more ranks than one are set apart for an engine that computes on one."""
    if context.ranks != 1:
        what = f"engine {name} labels on one rank, {context.ranks} are set apart for each label"
        raise BadSetting(what, "simulator.ranks_per_engine", "set it to 1: the structures are spread over the ranks")


def one_thread() -> None:
    """One thread for libraries that are loaded from here on: the ranks share the cores, and bits must not depend on threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def serial_ase() -> None:
    """Make ASE forget MPI: it would write input files on rank 0 alone, and each rank here has an engine of its own."""
    import ase.parallel

    ase.parallel.world.comm = ase.parallel.DummyMPI()


def empty_folder(folder: Path) -> None:
    """Make `folder` exist and hold nothing: no call sees the files of an earlier one. EnvironmentFailed if that cannot be."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFailed(f"the engine's scratch folder cannot be made: {error.strerror}", str(folder)) from error


def check_disk(folder: Path) -> None:
    """EnvironmentFailed if nothing can be written in `folder` any more: a crash is then not the engine's fault."""
    probe = folder / "probe"
    try:
        probe.write_bytes(bytes(65536))
        probe.unlink()
    except OSError as error:
        if error.errno in DISK_FULL:
            what = f"the engine's scratch folder cannot be written: {error.strerror}"
            raise EnvironmentFailed(what, str(folder), "free some space or quota, then start the same command again") from error


def need_package(name: str, install: str) -> EngineFailed:
    """The error for an engine whose Python package is missing; the caller raises it."""
    return EngineFailed(f"engine {name} needs a package that is not installed", f"engine.name: {name}", f"install it: {install}")


def result_energy(results: Mapping[str, Any]) -> float:
    """The energy (eV) whose derivative the forces are: with smeared occupations ASE calls it the free energy."""
    return float(results["free_energy"] if "free_energy" in results else results["energy"])
