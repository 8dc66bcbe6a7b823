"""The covariance of the two estimators, in constant volume alone."""

import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.observables import heat_capacity

KB = 8.617333262e-5


def test_a_known_covariance(system, states, water):
    """One bead: both estimators are V and a constant, so C = k (3N/2 + Var(V)/(kT)^2)."""
    rng = np.random.default_rng(2)
    potential = 0.05 * rng.standard_normal((2000, 1))
    positions = np.repeat(water[:1, :1, :1], 2000, axis=0)
    whole = heat_capacity.build(system(positions, [8, 1, 1]))
    known = states(positions, potential_energy_eV=potential, energy_virial_eV=potential + 4.5 * KB * 300)
    found = whole.finish(whole.add(known).series, None)["heat_capacity_eV_per_K"]
    assert found.mean == pytest.approx(KB * (4.5 + potential.var(ddof=1) / (KB * 300) ** 2), rel=0.01)


def test_other_ensembles(system, water):
    with pytest.raises(BadSetting, match="constant volume, but the run's ensemble is npt"):
        heat_capacity.build(system(water, [8, 1, 1], ensemble="npt"))
