"""Heat capacity at constant volume, from the covariance of the two energy estimators."""

from __future__ import annotations

from collections.abc import Mapping

from kernels.arrays import Array
from kernels.statistics import Estimate
from protocol.errors import BadSetting
from renkei.analysis.heat_capacity import heat_capacity, heat_capacity_of_levels
from renkei.analysis.path_integral import kinetic_primitive
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """dE_P/dT, eV/K; for constant volume alone: BadSetting for another ensemble."""
    if system.ensemble != "nvt":
        raise BadSetting(f"heat_capacity is that of constant volume, but the run's ensemble is {system.ensemble}")

    def add(states: States) -> Values:
        kinetic = kinetic_primitive(states.positions, system.masses_amu, system.temperature_K).sum(axis=-1)
        primitive = kinetic + states.row("potential_energy_eV")
        return Values({"energy_primitive_eV": primitive, "energy_virial_eV": states.row("energy_virial_eV")})

    def finish(series: Mapping[str, Array], log_weights: Array | None) -> Mapping[str, Estimate]:
        pair = series["energy_primitive_eV"], series["energy_virial_eV"]
        found = heat_capacity(*pair, len(system.numbers), system.temperature_K, log_weights)
        return {"heat_capacity_eV_per_K": found}

    def finish_levels(surrogate: Mapping[str, Array], target: Mapping[str, Array], log_weights: Array) -> Mapping[str, Estimate]:
        first, second = ((level["energy_primitive_eV"], level["energy_virial_eV"]) for level in (surrogate, target))
        found = heat_capacity_of_levels(first, second, log_weights, len(system.numbers), system.temperature_K)
        return {"heat_capacity_eV_per_K": found}

    return Observable(add, finish=finish, finish_levels=finish_levels)
