"""The heat capacity of harmonic rings is dE_P/dT, at every number of beads."""

import numpy as np
import pytest

from renkei.analysis import path_integral
from renkei.analysis.heat_capacity import heat_capacity

KELVIN = 600.0


@pytest.mark.parametrize("beads", [1, 4, 16])
def test_harmonic_rings(rings, beads):
    masses = [rings.HYDROGEN_AMU, 16.0]
    x = rings.draw(4000, 4, beads, masses, KELVIN, seed=beads)
    energies, forces = rings.well(x.reshape(-1, 2, 3))
    potential = energies.reshape(x.shape[:3]).mean(axis=-1) - 5e4  # a total as first principles have it
    primitive = path_integral.kinetic_primitive(x, np.array(masses), KELVIN).sum(axis=-1) + potential
    virial = path_integral.kinetic_virial(x, forces.reshape(x.shape), KELVIN).sum(axis=-1) + potential
    found = heat_capacity(primitive, virial, 2, KELVIN)
    want = 3 * sum((rings.energy(beads, m, KELVIN + 0.5) - rings.energy(beads, m, KELVIN - 0.5)) for m in masses)
    assert abs(found.mean - want) < 4.5 * found.stderr
    # mutations: without the kinetic constant, and with the variance of one estimator
    assert abs(found.mean - 1.5 * 2 * 8.617333262e-5 - want) > 10 * found.stderr
    if beads > 1:
        assert abs(heat_capacity(primitive, primitive, 2, KELVIN).mean - want) > 10 * found.stderr
    assert found.stderr < 0.1 * want
