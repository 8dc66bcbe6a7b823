"""A potential beside reference labels: predictions of any structures, and their errors by species and by size of force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from kernels.arrays import Array
from kernels.potentials.base import Potential
from renkei.labels.checks import composition
from renkei.labels.frames import Frame
from train_daemon.gate import alike

TOGETHER = 64  # structures evaluated in one call
FORCE_EDGES_EV_PER_A = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, np.inf)  # of the size of the reference force


class Predictions(NamedTuple):
    """What a potential says of n frames."""

    energies: Array  # (n,) eV
    forces: tuple[Array, ...]  # n of (N, 3) eV/A
    stresses: tuple[Array | None, ...]  # n of (3, 3) eV/A^3, or None where it has none


def predict(potential: Potential, frames: Sequence[Frame]) -> Predictions:
    """Energies, forces and stresses of frames of any sizes; those of one box are evaluated together."""
    energies = np.zeros(len(frames))
    forces: list[Array] = [np.zeros((0, 3))] * len(frames)
    stresses: list[Array | None] = [None] * len(frames)
    for places in alike([frame.structure for frame in frames], TOGETHER):
        box = frames[places[0]].structure
        positions = np.stack([frames[place].structure.positions for place in places])
        found = potential.evaluate(positions, box.numbers, box.cell, box.pbc)
        energies[places] = found.energy
        for row, place in enumerate(places):
            forces[place] = found.forces[row]
            stresses[place] = None if found.stress is None else found.stress[row]
    return Predictions(energies, tuple(forces), tuple(stresses))


def errors(frames: Sequence[Frame], predictions: Predictions) -> dict[str, Any]:
    """All errors as plain numbers, units in the names: of energies as they are and with the best constant per composition taken
    out, of forces per component, of stresses where both have them; forces also by species and by size."""
    off = predictions.energies - np.array([frame.energy for frame in frames])
    sizes = np.array([len(frame.forces) for frame in frames])
    shifted, groups = centred(off, frames)
    force_off = np.concatenate([f - frame.forces for f, frame in zip(predictions.forces, frames, strict=True)])
    found: dict[str, Any] = {"structures": len(frames), "atoms": int(sizes.sum())}
    found |= _both("energy", 1000.0 * off / sizes, "meV_per_atom")
    found |= _both("energy_shifted", 1000.0 * shifted / sizes, "meV_per_atom")
    found |= {"compositions": len(groups), "compositions_of_one_structure": sum(count == 1 for count in groups.values())}
    found |= _both("force", force_off, "eV_per_A") | {"force_largest_eV_per_A": float(np.abs(force_off).max())}
    found |= _stress(frames, predictions)
    found["species"] = _by_species(frames, force_off)
    found["by_force"] = _by_force(frames, force_off)
    return found


def centred(off: Array, frames: Sequence[Frame]) -> tuple[Array, dict[str, int]]:
    """Energy errors (n,) eV with the mean of their composition taken out, and the number of frames of each composition."""
    names = np.array([composition(frame) for frame in frames])
    result = np.array(off, dtype=np.float64)
    counts = {}
    for name in np.unique(names):
        mine = names == name
        counts[str(name)] = int(mine.sum())
        result[mine] -= result[mine].mean()
    return result, counts


def _both(name: str, off: Array, unit: str) -> dict[str, float]:
    return {f"{name}_rmse_{unit}": float(np.sqrt(np.mean(off**2))), f"{name}_mae_{unit}": float(np.mean(np.abs(off)))}


def _stress(frames: Sequence[Frame], predictions: Predictions) -> dict[str, Any]:
    pairs = [(f.stress, mine) for f, mine in zip(frames, predictions.stresses, strict=True)]
    off = [mine - theirs for theirs, mine in pairs if theirs is not None and mine is not None]
    return {"stress_structures": len(off)} | (_both("stress", np.array(off), "eV_per_A3") if off else {})


def _by_species(frames: Sequence[Frame], force_off: Array) -> Mapping[str, Mapping[str, float]]:
    from ase.data import chemical_symbols

    numbers = np.concatenate([frame.structure.numbers for frame in frames])
    return {
        chemical_symbols[z]: {"atoms": int((numbers == z).sum())} | _both("force", force_off[numbers == z], "eV_per_A")
        for z in np.unique(numbers).tolist()
    }


def _by_force(frames: Sequence[Frame], force_off: Array) -> list[dict[str, float]]:
    size = np.linalg.norm(np.concatenate([frame.forces for frame in frames]), axis=1)
    rows: list[dict[str, float]] = []
    for low, high in pairwise(FORCE_EDGES_EV_PER_A):
        mine = (size >= low) & (size < high)
        if mine.any():
            rows.append({"from_eV_per_A": low, "to_eV_per_A": high, "atoms": int(mine.sum())})
            rows[-1] |= _both("force", force_off[mine], "eV_per_A")
            rows[-1]["reference_rms_eV_per_A"] = float(np.sqrt(np.mean(size[mine] ** 2) / 3.0))
    return rows
