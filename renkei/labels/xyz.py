"""Frames as extended xyz that ASE and `renkei.labels.frames` read: predictions beside labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.arrays import Array
from protocol import atomic
from protocol.errors import BadSetting
from renkei.labels.frames import Frame
from renkei.labels.parity import Predictions

if TYPE_CHECKING:
    from ase import Atoms


def check_target(path: Path) -> None:
    """Raises BadSetting where a file cannot be written: wrong ending, no such folder, something there already."""
    if not path.name.lower().endswith((".extxyz", ".xyz")):
        raise BadSetting("must end in .extxyz or .xyz", str(path))
    if not path.parent.is_dir():
        raise BadSetting("its folder does not exist", str(path), "make it first")
    if path.exists():
        raise BadSetting("is there already", str(path), "name a new file")


def write(path: Path, frames: Sequence[Frame], predictions: Predictions) -> None:
    """Write every frame with the predicted energy, forces and stress, and the labels as REF_energy, REF_forces, REF_stress."""
    write_atoms(path, (_both(frame, predictions, place) for place, frame in enumerate(frames)))


def write_atoms(path: Path, atoms: Iterable[Atoms]) -> int:
    """Write ASE atoms whole, or nothing; returns their number."""
    import io

    from ase.io import write as write_ase

    text, count = io.StringIO(), 0
    for one in atoms:
        write_ase(text, one, format="extxyz")
        count += 1
    atomic.publish_bytes(path, text.getvalue().encode())
    return count


def _both(frame: Frame, predictions: Predictions, place: int) -> Atoms:
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator

    s = frame.structure
    atoms = Atoms(s.numbers, s.positions, cell=s.cell, pbc=s.pbc)
    stress = predictions.stresses[place]
    results: dict[str, Any] = {"energy": float(predictions.energies[place]), "forces": predictions.forces[place]}
    atoms.calc = SinglePointCalculator(atoms, **results, **({} if stress is None else {"stress": _voigt(stress)}))
    atoms.info |= {"REF_energy": frame.energy, "source": frame.source, "charge": frame.charge, "multiplicity": frame.multiplicity}
    if frame.stress is not None:
        atoms.info["REF_stress"] = frame.stress.ravel()
    atoms.new_array("REF_forces", np.array(frame.forces))
    return atoms


def _voigt(stress: Array) -> Array:
    return np.asarray(stress.ravel()[[0, 4, 8, 5, 2, 1]])
