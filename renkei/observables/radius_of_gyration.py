"""Root of the mean squared radius of gyration of the rings, by element."""

from __future__ import annotations

from renkei.analysis.path_integral import radii_of_gyration
from renkei.observables.base import Observable, States, System, Values


def build(system: System) -> Observable:
    """By element, A."""

    def add(states: States) -> Values:
        found = radii_of_gyration(states.positions, system.numbers)
        return Values({f"radius_of_gyration_{symbol}_A": value for symbol, value in found.items()})

    return Observable(add)
