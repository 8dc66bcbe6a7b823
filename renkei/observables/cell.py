"""Cell: lengths and angles of its vectors, volume and density; for ensembles whose cells vary."""

from __future__ import annotations

import numpy as np

from kernels.units import G_PER_CM3_PER_AMU_A3
from protocol.errors import BadSetting
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """Lengths (A), angles (deg), volume (A^3) and density (g/cm^3). BadSetting where a direction is not periodic."""
    if not np.all(system.pbc):
        raise BadSetting("cell: the system is not periodic in three directions")

    def add(states: States) -> Values:
        lengths = np.linalg.norm(states.cells, axis=-1)
        volume = np.abs(np.linalg.det(states.cells))
        found = {f"cell_{name}_A": lengths[..., k] for k, name in enumerate("abc")}
        for k, name in enumerate(("alpha", "beta", "gamma")):
            one, two = (k + 1) % 3, (k + 2) % 3
            product = (states.cells[..., one, :] * states.cells[..., two, :]).sum(axis=-1)
            found[f"cell_{name}_deg"] = np.degrees(np.arccos(product / (lengths[..., one] * lengths[..., two])))
        mass = float(system.masses_amu.sum())
        return Values({**found, "volume_A3": volume, "density_g_per_cm3": G_PER_CM3_PER_AMU_A3 * mass / volume})

    return Observable(add)
