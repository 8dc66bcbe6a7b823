"""The numbers that are written for every step, with their units in the names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import chemical_symbols

from kernels.arrays import Array
from kernels.pressure import pressure_primitive, pressure_virial
from kernels.ring_polymer import RingPolymer, estimators, squared_radius_of_gyration
from kernels.units import AMU_EV_FS2_PER_A2, G_PER_CM3_PER_AMU_A3, GPA_PER_EV_A3, KB_EV_PER_K
from sim_daemon.moves.cell import Barostat, volume

COMPONENTS = {"xx": (0, 0), "yy": (1, 1), "zz": (2, 2), "yz": (1, 2), "xz": (0, 2), "xy": (0, 1)}  # of a stress


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


def observe_cell(ring: RingPolymer, barostat: Barostat, cell: Array) -> Mapping[str, float]:
    """Volume, density, and what varies of the cell (3, 3) A."""
    size = volume(cell)
    row = {"volume_A3": size, "density_g_per_cm3": float(ring.masses.sum()) / AMU_EV_FS2_PER_A2 / size * G_PER_CM3_PER_AMU_A3}
    lengths = np.linalg.norm(cell, axis=1)
    if barostat.cell != "isotropic":
        row |= {f"cell_{name}_A": float(length) for name, length in zip("abc", lengths, strict=True)}
    if barostat.cell == "full":
        cosines = (cell @ cell.T) / np.outer(lengths, lengths)
        angles = np.degrees(np.arccos(cosines[[1, 0, 0], [2, 2, 1]]))
        row |= {f"cell_{name}_deg": float(angle) for name, angle in zip(("alpha", "beta", "gamma"), angles, strict=True)}
    return row


def observe_stress(
    ring: RingPolymer, cell: Array, positions: Array, forces: Array, stresses: Array | None
) -> Mapping[str, float]:
    """Pressure in both forms and the stress by the centroid virial (tension positive), GPa; nothing where a stress is unknown.

    cell: (3, 3) A.  positions: (P, N, 3) A.  forces: (P, N, 3) eV/A.  stresses: (P, 3, 3) eV/A^3 of the target at these
    positions, tension positive, NaN where there is none.
    """
    if stresses is None or not np.isfinite(stresses).all():
        return {}
    size, kelvin = np.array(volume(cell)), 1 / (KB_EV_PER_K * ring.beta)
    virial = GPA_PER_EV_A3 * pressure_virial(positions, forces, stresses, size, kelvin)
    primitive = GPA_PER_EV_A3 * pressure_primitive(positions, stresses, size, ring.masses / AMU_EV_FS2_PER_A2, kelvin)
    components = {f"stress_{name}_GPa": -float(virial[a, b]) for name, (a, b) in COMPONENTS.items()}
    return {"pressure_GPa": float(np.trace(virial)) / 3, "pressure_primitive_GPa": float(np.trace(primitive)) / 3, **components}
