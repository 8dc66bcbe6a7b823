"""Kinetic energy: of all atoms by the centroid virial (the ledger's), by element from the springs (primitive, noisier)."""

from __future__ import annotations

from renkei.analysis.path_integral import by_element, kinetic_primitive
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """Total (virial) and per element (primitive), eV."""

    def add(states: States) -> Values:
        atoms = kinetic_primitive(states.positions, system.masses_amu, system.temperature_K)
        elements = {f"kinetic_primitive_{symbol}_eV": value for symbol, value in by_element(atoms, system.numbers).items()}
        return Values({"kinetic_energy_eV": states.row("kinetic_energy_eV"), **elements})

    return Observable(add)
