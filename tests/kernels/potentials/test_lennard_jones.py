import numpy as np
import pytest

from kernels.potentials.lennard_jones import build

SETTINGS = {"epsilon_eV": 0.3, "sigma_A": 1.9, "cutoff_A": 5.1}


def test_as_ase(silica):
    from ase import Atoms
    from ase.calculators.lj import LennardJones

    positions, numbers, cell, pbc = silica
    result = build(SETTINGS).evaluate(positions, numbers, cell, pbc)
    for b, place in enumerate(positions):
        atoms = Atoms(numbers, place, cell=cell, pbc=pbc)
        atoms.calc = LennardJones(epsilon=0.3, sigma=1.9, rc=5.1, smooth=False)
        assert result.energy[b] == pytest.approx(atoms.get_potential_energy(), rel=1e-11)
        assert np.allclose(result.forces[b], atoms.get_forces(), rtol=1e-10, atol=1e-10)
        if pbc.all():
            assert np.allclose(result.stress[b], atoms.get_stress(voigt=False), rtol=1e-10, atol=1e-10)
        else:
            assert result.stress is None


def test_minimum_of_a_pair():
    distance = 2 ** (1 / 6) * 1.9
    shift = 4 * 0.3 * ((1.9 / 5.1) ** 12 - (1.9 / 5.1) ** 6)
    result = build(SETTINGS).evaluate(np.array([[[0, 0, 0], [0, distance, 0]]]), np.ones(2), np.zeros((3, 3)), np.zeros(3, bool))
    assert result.energy[0] == pytest.approx(-0.3 - shift, rel=1e-13)
    assert np.abs(result.forces).max() < 1e-13


def test_exploded_structure_gives_nan_alone(silica):
    positions, numbers, cell, pbc = silica
    broken = positions.copy()
    broken[2, 0, 0] = np.nan
    result, plain = (build(SETTINGS).evaluate(x, numbers, cell, pbc) for x in (broken, positions))
    assert np.isnan(result.energy[2])
    assert np.array_equal(result.forces[:2], plain.forces[:2])
