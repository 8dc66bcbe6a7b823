"""Errors beside the speed: our learner and a linear SNAP on the same labelled frames, and both in the same loops.

Both learn from train.extxyz.gz and are judged by test.extxyz.gz: ours for some thousand steps, with a tenth of the frames held
back to choose the best weights; SNAP by least squares. The calmest test structure, repeated, is what moves. --quick takes few
frames and steps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from benchmarks import peer
from benchmarks.dynamics_loop import Workload, forces_of, ms_per_step, snap
from benchmarks.kernel import Case
from kernels import native
from kernels.arrays import Array
from kernels.network import networks
from kernels.potentials.bpnn import BpnnModel
from kernels.potentials.bpnn import read as read_model
from renkei.labels.frames import Frame, read

TRAIN = "from renkei.cli import main; main()"
LEARNING_STEPS, QUICK_STEPS = 6000, 20
QUICK_FRAMES = (20, 5)
HIDDEN = "learner.hidden=[15,15]"
MOVING_ATOMS, QUICK_ATOMS, STEPS = 2000, 100, 50
SNAP_SECONDS = 30.0
SPECTRUM = {"twojmax": 8, "cutoff_A": 4.5}  # of 6.0, 5.0 and 4.5 A the best for 150 frames of TiO2, 2J = 6


def trained(folder: Path, steps: int, into: Path) -> dict[str, Any]:
    """Our learner through the command line; errors on the test frames."""
    command = [sys.executable, "-c", TRAIN, "train", str(folder / "train.extxyz.gz"), "--test", str(folder / "test.extxyz.gz")]
    command += ["--into", str(into), "--steps", str(steps), "--set", HIDDEN, "--device", "cpu", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{folder}: training failed: {done.stderr.strip()}")
    found = json.loads((into / "train.json").read_text("utf-8"))["errors"]["test"]
    return {
        "energy_meV_per_atom": round(found["energy_rmse_meV_per_atom"], 2),
        "force_eV_per_A": round(found["force_rmse_eV_per_A"], 4),
    }


def fitted(python: str, training: Sequence[Frame], test: Sequence[Frame]) -> dict[str, Any]:
    """SNAP's coefficients and errors."""
    frames = [*training, *test]
    species = species_of(frames)
    arrays = {
        "positions": np.concatenate([frame.structure.positions for frame in frames]),
        "numbers": np.concatenate([frame.structure.numbers for frame in frames]),
        "cells": np.array([frame.structure.cell for frame in frames]),
        "sizes": np.array([len(frame.forces) for frame in frames]),
        "energies": np.array([frame.energy for frame in frames]),
        "forces": np.concatenate([frame.forces for frame in frames]),
        "species": species,
    }
    return peer.ask(python, "lammps_fit", {**SPECTRUM, "weights": weights_of(species), "training": len(training)}, arrays)


def species_of(frames: Sequence[Frame]) -> Array:
    """(S,) atomic numbers, ascending."""
    return np.unique(np.concatenate([frame.structure.numbers for frame in frames]))


def weights_of(species: Array) -> list[float]:
    """SNAP tells species apart by weights alone; the heaviest has 1."""
    return np.linspace(0.5, 1.0, len(species)).tolist()


def moving(test: Sequence[Frame], model: BpnnModel, atoms: int) -> Workload:
    """The structure with the smallest largest force, repeated to about so many atoms."""
    calm = min(test, key=lambda frame: float(np.abs(frame.forces).max())).structure
    times = max(1, round((atoms / len(calm.numbers)) ** (1 / 3)))
    many = Atoms(calm.numbers, calm.positions, cell=calm.cell, pbc=calm.pbc).repeat(times)
    case = Case(
        f"{len(many)} atoms", many.positions[None], many.numbers, np.array(many.cell.array), many.pbc, model.descriptor, ()
    )
    return Workload(case, case, 1, 1.0, STEPS)


def own_speed(work: Workload, model: BpnnModel) -> dict[str, float]:
    """Milliseconds of a step in both precisions."""
    net = networks(model.layers, model.activation, model.mean, model.scale)
    told = {}
    for single in (True, False):
        forces = forces_of(native.Loops(model.descriptor, net, single), work.case, model.energy_scale_eV)
        told["float32" if single else "float64"] = ms_per_step(work, forces)
    return told


def compared(folder: Path, python: str | None, quick: bool) -> dict[str, Any]:
    """Print the table; all figures by name."""
    training, test = read([folder / "train.extxyz.gz"]), read([folder / "test.extxyz.gz"])
    with tempfile.TemporaryDirectory() as scratch:
        into = Path(scratch) / "training"
        own: dict[str, Any] = {"test": trained(folder, QUICK_STEPS if quick else LEARNING_STEPS, into)}
        model = read_model(into / "potential")
    work = moving(test, model, QUICK_ATOMS if quick else MOVING_ATOMS)
    told = {f"ours, {HIDDEN}": own | {"ms_per_step": own_speed(work, model)}}
    if python is not None:
        few = (training[: QUICK_FRAMES[0]], test[: QUICK_FRAMES[1]]) if quick else (training, test)
        linear = fitted(python, *few)
        if "failed" not in linear:
            coefficients, species = np.array(linear.pop("coefficients")), np.array(model.descriptor.species)
            linear |= snap(python, work, SPECTRUM | {"weights": weights_of(species)}, SNAP_SECONDS, coefficients)
        told["LAMMPS, SNAP 2J = {twojmax}, {cutoff_A} A".format(**SPECTRUM)] = linear
    print(f"errors on {folder.name}, {len(training)} frames to learn from, {len(test)} to judge by; speed on {work.case.name}")
    for name, row in told.items():
        print(f"  {name:32s} " + (row["failed"] if "failed" in row else _line(row, len(work.case.numbers))))
    return told


def _line(row: dict[str, Any], atoms: int) -> str:
    times = ", ".join(f"{1e3 * ms / atoms:.2f} us/atom in {name}" for name, ms in row["ms_per_step"].items())
    test = row["test"]
    return f"force {test['force_eV_per_A']:.3f} eV/A per component, energy {test['energy_meV_per_atom']:.1f} meV/atom; {times}"
