"""Energies from positions and the ledger."""

import numpy as np
import pytest

from kernels.ring_polymer import estimators, ring_polymer
from renkei.observables import energy


def test_the_primitive_energy_is_that_of_the_sampler(system, states, water):
    found = energy.build(system(water, [8, 1, 1])).add(states(water, potential_energy_eV=-7.0, energy_virial_eV=-6.0)).series
    ring = ring_polymer(np.array([16.0, 1.008, 1.008]), 300.0, 4, 3000.0)
    kernel = estimators(ring, water[2, 1], np.full(4, -7.0), np.zeros((4, 3, 3)))
    assert found["energy_primitive_eV"][2, 1] == pytest.approx(kernel.primitive)
    np.testing.assert_allclose(found["energy_difference_eV"], found["energy_primitive_eV"] + 6.0)
