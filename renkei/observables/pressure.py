"""Pressure by the centroid virial and the primitive form, and the stress tensor (the ledger's); for periodic cells."""

from __future__ import annotations

import numpy as np

from protocol.errors import BadSetting
from renkei.observables.base import Observable, States, System, Values
from sim_daemon.observables import COMPONENTS

STRESSES = tuple(f"stress_{name}_GPa" for name in COMPONENTS)
NAMES = ("pressure_GPa", "pressure_primitive_GPa", *STRESSES)


def build(system: System) -> Observable:
    """Both pressures, their difference and six stresses (tension positive), GPa. BadSetting where a direction is not periodic."""
    if not np.all(system.pbc):
        raise BadSetting("pressure: the system is not periodic in three directions")

    def add(states: States) -> Values:
        found = {name: states.row(name) for name in NAMES}
        difference = found["pressure_primitive_GPa"] - found["pressure_GPa"]
        return Values({**found, "pressure_difference_GPa": difference})

    return Observable(add)
