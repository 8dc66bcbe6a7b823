"""Total energy by both estimators: primitive (springs anew from the positions) and centroid virial (the ledger's)."""

from __future__ import annotations

from renkei.analysis.path_integral import kinetic_primitive
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """Primitive, virial and potential energy, and the difference of the first two, eV."""

    def add(states: States) -> Values:
        potential, virial = states.row("potential_energy_eV"), states.row("energy_virial_eV")
        kinetic = kinetic_primitive(states.positions, system.masses_amu, system.temperature_K).sum(axis=-1)
        primitive = kinetic + potential
        return Values(
            {
                "energy_primitive_eV": primitive,
                "energy_virial_eV": virial,
                "energy_difference_eV": primitive - virial,
                "potential_energy_eV": potential,
            }
        )

    return Observable(add)
