"""Milliseconds (processor time) of a step with a MACE of random weights: ASE's integrator, mace-torch's own calculator.

64 invariant channels, two layers, correlation 3, spherical harmonics up to l = 3, 5 A.
"""

from __future__ import annotations

import time
from typing import Any

import ase
import ase.units
import numpy as np
import torch
from ase.md.verlet import VelocityVerlet
from mace import __version__, modules
from mace.calculators import MACECalculator

from benchmarks.peers import job


def model(species: list[int], cutoff_A: float, neighbors: float) -> Any:
    """Random weights of a fixed seed."""
    from e3nn import o3  # after mace, which tells torch how e3nn's tables may be loaded

    torch.manual_seed(1)
    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    return modules.ScaleShiftMACE(
        r_max=cutoff_A,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=block,
        num_interactions=2,
        num_elements=len(species),
        hidden_irreps=o3.Irreps("64x0e"),
        MLP_irreps=o3.Irreps("16x0e"),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros(len(species)),
        avg_num_neighbors=neighbors,
        atomic_numbers=species,
        correlation=3,
        atomic_inter_scale=0.1,
        atomic_inter_shift=0.0,
    )


def main() -> None:
    """One run for each precision."""
    _, asked, arrays = job.read()
    torch.set_num_threads(1)
    species = sorted({int(number) for number in arrays["numbers"]})
    ms = {}
    for precision in ("float32", "float64"):
        torch.set_default_dtype(getattr(torch, precision))
        net = model(species, asked["cutoff_A"], asked["neighbors"])
        atoms = ase.Atoms(numbers=arrays["numbers"], positions=arrays["positions"], cell=arrays["cell"], pbc=True)
        atoms.set_velocities(arrays["velocities"] / ase.units.fs)
        atoms.calc = MACECalculator(models=[net], device="cpu", default_dtype=precision)
        dynamics = VelocityVerlet(atoms, asked["timestep_fs"] * ase.units.fs)
        dynamics.run(1)
        began = time.process_time()
        dynamics.run(asked["steps"])
        ms[precision] = round(1e3 * (time.process_time() - began) / asked["steps"], 3)
    job.answer(version=__version__, steps=asked["steps"], atoms=len(arrays["numbers"]), ms_per_step=ms)


if __name__ == "__main__":
    main()
