"""The numbers that are written for every step, with their units in the names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from kernels.ring_polymer import RingPolymer, estimators, squared_radius_of_gyration


def observe(ring: RingPolymer, numbers: Array, positions: Array, energies: Array, forces: Array) -> Mapping[str, float]:
    """Energies (eV) and radius of gyration by element (A) of one ring.

    numbers: (N,).  positions: (P, N, 3) A.  energies: (P,) eV.  forces: (P, N, 3) eV/A, all of the target.
    """
    energy = estimators(ring, positions, energies, forces)
    row = {
        "energy_primitive_eV": energy.primitive,
        "energy_virial_eV": energy.virial,
        "kinetic_energy_eV": energy.kinetic_virial,
        "potential_energy_eV": energy.potential,
    }
    squared = squared_radius_of_gyration(positions)
    for number in np.unique(numbers):
        name = f"radius_of_gyration_{chemical_symbols[number]}_A"
        row[name] = float(np.sqrt(np.mean(squared[numbers == number])))
    return row
