"""Labelled structures from files of others (extended xyz) and from our own batches and runs, as one list of checked frames.

A frame is refused by the first thing that is wrong with it, in one sentence: file, frame (from 1), what, what to do.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernels.arrays import Array
from kernels.neighbors.numba_cpu import pairs
from protocol import atomic, batch, names
from protocol.errors import BadSetting
from protocol.records import Batch, Structure
from protocol.store import Store
from sim_daemon.system import OVERLAP, check_structure, file_charge, file_multiplicity

TEXTS = (".extxyz", ".xyz", ".extxyz.gz", ".xyz.gz")
BATCHES = (".h5", ".hdf5")
BROKEN = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    StopIteration,
)


@dataclass(frozen=True)
class Frame:
    """One labelled structure and where it comes from."""

    structure: Structure
    energy: float  # eV, total
    forces: Array  # (N, 3) eV/A
    stress: Array | None  # (3, 3) eV/A^3, tension positive; None where the data have none
    source: str  # "FILE: frame 3"
    trajectory: str  # frames of one trajectory are correlated
    place: int  # along it; frames of equal place are beads of one ring
    charge: int = 0
    multiplicity: int = 1
    fingerprint: str = ""  # of the engine, where the data say it


def read(sources: Sequence[Path]) -> tuple[Frame, ...]:
    """All frames of files and run folders, in order.  Raises BadSetting for the first problem."""
    found = tuple(frame for source in sources for frame in _read_one(source))
    if not found:
        raise BadSetting("there is no labelled structure in it", ", ".join(str(source) for source in sources))
    return found


def _read_one(source: Path) -> Iterator[Frame]:
    name = source.name.lower()
    if source.is_dir():
        return _of_run(source)
    if not source.is_file():
        raise BadSetting("no such file or run folder", str(source))
    if name.endswith(BATCHES):
        return _of_batch(batch.load(atomic.read_bytes(source)), str(source), str(source))
    if name.endswith(TEXTS):
        return _of_text(source)
    raise BadSetting(f"is not of a known kind ({', '.join((*TEXTS, *BATCHES))})", str(source), "convert it to extended xyz")


# --- our own --------------------------------------------------------------------------------------


def _of_run(run: Path) -> Iterator[Frame]:
    store = Store(run)
    roles = [names.simulator_role(name) for name in store.simulators()]
    if not roles:
        raise BadSetting("is a folder, but no run that has begun", str(run), "give a run folder, or files")
    for role in roles:
        for packet in store.packets(role):
            yield from _of_batch(store.read_batch(packet), str(packet.path), str(run))


def _of_batch(labels: Batch, path: str, run: str) -> Iterator[Frame]:
    for number, (label, origin) in enumerate(zip(labels.labels, labels.origins, strict=True), start=1):
        trajectory = f"{run}/{origin.simulator}/{origin.walker}" + ("/startup" if origin.step < 0 else "")
        place = origin.point if origin.step < 0 else origin.step
        numbers = (label.energy, label.forces, label.stress)
        system = (label.charge, label.multiplicity, label.fingerprint)
        yield Frame(label.structure, *numbers, f"{path}: frame {number}", trajectory, place, *system)


# --- extended xyz ---------------------------------------------------------------------------------


def _of_text(path: Path) -> Iterator[Frame]:
    for number, atoms in _atoms(path):
        where = f"{path}: frame {number}"
        energy, forces = energy_of(atoms, where), forces_of(atoms, where)
        pbc = np.array(atoms.pbc, dtype=bool)
        cell = np.where(pbc[:, None], np.array(atoms.cell.array, dtype=np.float64), 0.0)
        structure = Structure(np.array(atoms.positions, np.float64), np.array(atoms.numbers, np.int64), cell, pbc)
        if _suspect(structure):
            check_structure(atoms, Path(where))
        trajectory, place = _trajectory(atoms.info, path, number)
        charge, multiplicity = file_charge(atoms.info) or 0, file_multiplicity(atoms.info) or 1
        system = (charge, multiplicity, str(atoms.info.get("fingerprint", "")))
        yield Frame(structure, energy, forces, stress_of(atoms, where), where, trajectory, place, *system)


def _atoms(path: Path) -> Iterable[tuple[int, Any]]:
    """(number from 1, ASE atoms) of every frame; whatever ASE cannot read is one sentence."""
    from ase.io import iread

    frames = _broken_told(path, iter(iread(_opened(path), index=":", format="extxyz")))
    return enumerate(frames, start=1)


def _broken_told(path: Path, frames: Iterator[Any]) -> Iterator[Any]:
    number = 0
    while True:
        number += 1
        try:
            atoms = next(frames)
        except StopIteration:
            return
        except BROKEN as error:
            said = " ".join(str(error).removeprefix("ase.io.extxyz: ").split()) or type(error).__name__
            said = f"unknown element {said}" if isinstance(error, KeyError) else said
            raise BadSetting(f"cannot be read as extended xyz ({said})", f"{path}: frame {number}") from error
        yield atoms


def _opened(path: Path) -> Path | io.StringIO:
    """What ASE is to read: a packed file is unpacked first, for ASE goes back in it, which would unpack it anew each time."""
    if path.suffix.lower() != ".gz":
        return path
    try:
        with gzip.open(path, "rt", encoding="utf-8") as packed:
            return io.StringIO(packed.read())
    except BROKEN as error:
        raise BadSetting(f"cannot be unpacked ({error})", str(path), "is it whole?") from error


def _trajectory(info: Mapping[str, Any], path: Path, number: int) -> tuple[str, int]:
    """Trajectory and place: what our own export wrote, else the file and the frame's number."""
    if {"simulator", "walker", "step", "point"} <= info.keys():
        step, point = int(info["step"]), int(info["point"])
        name = f"{path}/{info['simulator']}/{info['walker']}"
        return (name, step) if step >= 0 else (f"{name}/startup", point)
    return str(path), number


def energy_of(atoms: Any, where: str) -> float:
    """Total energy of ASE atoms, eV: `REF_energy`, the calculator's, or the one key of `info` that ends in "energy".

    Raises BadSetting if there is none, several, or no finite number.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    name, value = _chosen("energy", atoms.info, results, where)
    if name is None:
        raise BadSetting("has no energy", where, "write energy=... (eV, total) into its comment line, or leave the frame out")
    if isinstance(value, bool | str) or np.size(value) != 1:
        raise BadSetting(f"{name} is no number", where, "write the total energy in eV")
    if not np.isfinite(value).all():
        raise BadSetting(f"{name} is not a finite number ({float(value)})", where, "leave the frame out")
    return float(value)


def forces_of(atoms: Any, where: str) -> Array:
    """Forces of ASE atoms, (N, 3) eV/A: `REF_forces`, the calculator's, or the one array whose name ends in "force(s)".

    Raises BadSetting if there are none, several, or not finite ones.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    columns = {name: array for name, array in atoms.arrays.items() if np.shape(array) == (len(atoms), 3)}
    name, value = _chosen("forces", columns, results, where)
    if name is None:
        raise BadSetting("has no forces", where, "add columns forces:R:3 (eV/A), or leave the frame out")
    forces = np.asarray(value, dtype=np.float64)
    if not np.isfinite(forces).all():
        atom = int(np.flatnonzero(~np.isfinite(forces).all(axis=1))[0]) + 1
        raise BadSetting(f"{name} of atom {atom} are not finite numbers", where, "leave the frame out")
    return forces


def stress_of(atoms: Any, where: str) -> Array | None:
    """Stress of ASE atoms, (3, 3) eV/A^3 with tension positive, or None; a virial (eV) counts as minus stress times volume.

    where: file and frame, for the BadSetting that a tensor of another size, or a number that is not finite, raises.
    """
    if not atoms.pbc.all():
        return None
    results = atoms.calc.results if atoms.calc is not None else {}
    name, value = _chosen("stress", atoms.info, results, where)
    factor = 1.0
    if name is None:
        name, value = _chosen("virial", atoms.info, {}, where)
        factor = -1.0 / atoms.get_volume()
    if name is None:
        return None
    numbers = np.asarray(value, dtype=np.float64).ravel()
    if numbers.size not in (6, 9) or not np.isfinite(numbers).all():
        raise BadSetting(f"{name} must be 9 finite numbers (or 6, in the order of Voigt)", where, "leave it out of the frame")
    full = numbers[[0, 5, 4, 5, 1, 3, 4, 3, 2]] if numbers.size == 6 else numbers
    return np.asarray(factor * full.reshape(3, 3))


def _chosen(kind: str, told: Mapping[str, Any], results: Mapping[str, Any], where: str) -> tuple[str | None, Any]:
    """The value of one kind: under a name that says it is the reference, from the calculator, or under the one name like it."""
    reference = {name.lower(): name for name in told}.get(f"ref_{kind}")
    if reference is not None:
        return reference, told[reference]
    for name in (kind, "free_energy") if kind == "energy" else (kind,):
        if results.get(name) is not None:
            return name, results[name]
    endings = (kind, kind.removesuffix("s"))
    alike = sorted(name for name in told if name.lower().endswith(endings))
    if kind in alike:
        return kind, told[kind]
    if len(alike) > 1:
        raise BadSetting(f"has several {kind}: {', '.join(alike)}", where, f"call the right one REF_{kind}")
    return (alike[0], told[alike[0]]) if alike else (None, None)


def _suspect(structure: Structure) -> bool:
    """Whether a structure wants a closer look: an unknown element, a number that is not finite, no volume, atoms that overlap."""
    from ase.data import covalent_radii

    numbers, cell, pbc = structure.numbers, structure.cell, structure.pbc
    sound = len(numbers) > 0 and numbers.min() > 0 and numbers.max() < 119
    if not sound or not (np.isfinite(structure.positions).all() and np.isfinite(cell).all()):
        return True
    vectors = cell[pbc]
    if len(vectors):
        lengths = np.linalg.norm(vectors, axis=1)
        if lengths.min() < 0.1 or np.linalg.det(vectors @ vectors.T) < 1e-5 * float(np.prod(lengths**2)):
            return True
    radii = OVERLAP * covalent_radii[numbers]
    near = pairs(structure.positions, cell, pbc, 2.0 * float(radii.max()))
    return bool(np.any(near.distance < radii[near.first] + radii[near.second]))
