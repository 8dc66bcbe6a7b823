"""Kinetic energies by element add up."""

import numpy as np

from renkei.observables import energy, kinetic_energy


def test_elements_add_up_to_the_primitive_energy(system, states, water):
    known = states(water, potential_energy_eV=-7.0, energy_virial_eV=-6.0, kinetic_energy_eV=1.0)
    found = kinetic_energy.build(system(water, [8, 1, 1])).add(known).series
    total = energy.build(system(water, [8, 1, 1])).add(known).series["energy_primitive_eV"] + 7.0
    np.testing.assert_allclose(found["kinetic_primitive_H_eV"] + found["kinetic_primitive_O_eV"], total)
    assert (found["kinetic_energy_eV"] == 1.0).all()
