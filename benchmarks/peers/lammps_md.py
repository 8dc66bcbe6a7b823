"""Milliseconds (processor time) of a step of velocity Verlet in LAMMPS with pair_style snap, lists of neighbours with a skin.

Coefficients that are not given are random numbers of a fixed seed, scaled so that the root mean square of a force's components
is as asked. Not more steps than asked, and not many more than fit into the time that is given (but three at least).
"""

from __future__ import annotations

import ctypes
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import job
from benchmarks.peers.lammps_start import Spectrum, System

FEWEST = 3


def random_coefficients(system: System, spectrum: Spectrum, folder: Path, species: int, force_eV_per_A: float) -> Any:
    """(S, 1 + terms) eV, for forces of the asked size."""
    first = np.random.default_rng(1).normal(size=(species, 1 + spectrum.length))
    system.with_snap(spectrum.write(folder, first), species)
    system.lmp.command("run 0")
    return first * force_eV_per_A / np.sqrt(np.mean(system.gather("f") ** 2))


def main() -> None:
    """One run."""
    folder, asked, arrays = job.read()
    spectrum, species = Spectrum(asked["twojmax"], asked["cutoff_A"], tuple(asked["weights"])), arrays["species"]
    system = System(arrays["positions"], arrays["numbers"], arrays["cell"], species, arrays["masses"], asked["skin_A"])
    given = arrays.get("coefficients")
    if given is None:
        given = random_coefficients(system, spectrum, folder, len(species), asked["force_eV_per_A"])
    system.with_snap(spectrum.write(folder, given), len(species))
    rotated = 1e3 * np.ascontiguousarray(system.prism.vector_to_lammps(arrays["velocities"]))  # A/fs -> A/ps
    system.lmp.scatter_atoms("v", 1, 3, (ctypes.c_double * rotated.size)(*rotated.ravel()))
    system.lmp.commands_list(["fix 1 all nve", f"timestep {1e-3 * asked['timestep_fs']}", "thermo 1000000"])
    began = time.process_time()
    system.lmp.command("run 2")  # three evaluations
    fitting = asked["seconds"] / ((time.process_time() - began) / 3)
    steps = int(min(asked["steps"], max(FEWEST, fitting)))
    began = time.process_time()
    system.lmp.command(f"run {steps} pre no post no")
    ms = 1e3 * (time.process_time() - began) / steps
    job.answer(version=system.lmp.version(), steps=steps, ms_per_step=round(ms, 4), terms=spectrum.length)


if __name__ == "__main__":
    main()
