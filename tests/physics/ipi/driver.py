"""One of the potentials as a force provider of i-PI, in atomic units: its custom driver."""

import sys
from pathlib import Path

import ase.units
import numpy as np
from ipi.pes.dummy import Dummy_driver

sys.path.insert(0, str(Path(__file__).parent))
import potentials

__DRIVER_NAME__ = "custom"
__DRIVER_CLASS__ = "CopiesDriver"


class CopiesDriver(Dummy_driver):
    """Independent copies of one case's system."""

    def __init__(self, case=None, *args, **kwargs):
        self.case = potentials.CASES[case]
        super().__init__(*args, **kwargs)

    def compute(self, cell, pos):
        """Of every bead: energy (Hartree), forces (Hartree/Bohr), no virial."""
        beads = np.array(pos)
        x = beads.reshape(-1, *self.case.start_A.shape) * ase.units.Bohr
        energies, forces = self.case.formula(x)
        energies = energies.reshape(len(beads), -1).sum(axis=1) / ase.units.Hartree
        forces = forces.reshape(beads.shape) * ase.units.Bohr / ase.units.Hartree
        return [(energy, force, np.zeros((3, 3)), "") for energy, force in zip(energies, forces, strict=True)]
