"""The ledger's pressures and stresses, as they are."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei import results
from renkei.observables import pressure

KNOWN = {name: 1.0 + k for k, name in enumerate(pressure.NAMES)}


def test_the_ledgers_numbers_and_their_difference(system, states, water):
    found = pressure.build(system(water, [8, 1, 1], 9 * np.eye(3))).add(states(water, 9 * np.eye(3), **KNOWN)).series
    assert {name: found[name][1, 0] for name in KNOWN} == KNOWN
    assert (found["pressure_difference_GPa"] == 1.0).all()
    assert {results.unit_of(name) for name in found} == {"GPa"}


def test_clusters_and_engines_without_a_stress_have_none(system, states, water):
    with pytest.raises(BadSetting, match="not periodic"):
        pressure.build(system(water, [8, 1, 1]))
    with pytest.raises(BadSetting, match="no pressure_GPa of every chosen step"):
        pressure.build(system(water, [8, 1, 1], 9 * np.eye(3))).add(states(water, potential_energy_eV=1.0))
