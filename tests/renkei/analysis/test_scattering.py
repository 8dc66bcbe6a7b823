"""Structure factors: ideal gas, Bragg peaks of a crystal, two atoms, and the tables."""

import numpy as np
import pytest
from ase.build import bulk

from protocol.errors import BadSetting
from renkei.analysis import scattering
from renkei.analysis.scattering_tables import FORM_FACTORS, SCATTERING_LENGTHS

EDGES = np.linspace(0.0, 6.0, 31)


@pytest.mark.parametrize(("number", "want"), [(6, [6.0, 3.560, 1.685]), (8, [8.0, 5.634, 2.338]), (14, [14.0, 9.67, 6.24])])
def test_form_factors_of_the_international_tables(number, want):
    """At sin(theta)/lambda = 0, 0.2 and 0.5 per A."""
    found = scattering.form_factors(np.array([number]), 4 * np.pi * np.array([0.0, 0.2, 0.5]))
    np.testing.assert_allclose(found[0], want, rtol=0.006)


def test_every_form_factor_begins_with_the_number_of_electrons_and_falls():
    from ase.data import atomic_numbers

    numbers = np.array([atomic_numbers[symbol] for symbol in FORM_FACTORS])
    found = scattering.form_factors(numbers, np.linspace(0, 25, 60))
    np.testing.assert_allclose(found[:, 0], numbers, atol=0.06)
    assert (np.diff(found, axis=1) < 0).all()
    assert (found > 0).all()


def test_isotopes_and_missing_elements():
    found = scattering.scattering_lengths(np.array([1, 1, 1, 8]), np.array([1.008, 2.014, 3.016, 18.0]))
    np.testing.assert_allclose(found, [SCATTERING_LENGTHS[name] for name in ("H", "D", "T", "O")])
    assert found[0] < 0 < found[1]
    with pytest.raises(BadSetting, match="no X-ray form factor of U"):
        scattering.form_factors(np.array([92]), np.zeros(1))
    with pytest.raises(BadSetting, match="no neutron scattering length of U"):
        scattering.scattering_lengths(np.array([92]), np.array([238.0]))


def test_an_ideal_gas_scatters_as_its_atoms():
    """Mixed amplitudes, one of them negative, in a triclinic cell."""
    rng = np.random.default_rng(1)
    cell = np.array([[6.0, 0.0, 0.0], [2.0, 6.0, 0.0], [1.0, -2.0, 6.0]])
    positions = rng.random((400, 20, 3)) @ cell
    lengths = np.linspace(0, 9, 50)
    amplitudes = np.stack([scattering.form_factors(np.tile([8, 1], 10), lengths), np.tile([[5.8], [-3.7]], (10, 50))])
    indices = scattering.reciprocal_indices(cell, EDGES, per_bin=15)
    q, found = scattering.lattice_structure_factor(positions, amplitudes, lengths, indices, cell)
    assert q.min() > 0.9
    assert q.max() < 6
    np.testing.assert_allclose(found, 1.0, atol=4.5 * 1.1 / np.sqrt(400))
    assert abs(found.mean() - 1) < 0.01


def test_bragg_peaks_of_fcc():
    """S = N at vectors of the crystal, 0 at all others of the larger cell; the first is (111)."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    indices = scattering.reciprocal_indices(atoms.cell[:], EDGES, per_bin=10_000)
    amplitudes = np.ones((1, 32, 2))
    q, [found] = scattering.lattice_structure_factor(
        atoms.positions[None], amplitudes, np.array([0.0, 9.0]), indices, atoms.cell[:]
    )
    peaks = found > 16
    np.testing.assert_allclose(found[peaks], 32.0)
    np.testing.assert_allclose(found[~peaks], 0.0, atol=1e-9)
    assert q[peaks].min() == pytest.approx(2 * np.pi * np.sqrt(3) / 3.61)
    assert np.isclose(q, q[peaks].min()).sum() == 4  # eight vectors, one of each pair
    # as many vectors as the volume between the spheres holds
    assert len(q) == pytest.approx(0.5 * 4 / 3 * np.pi * 6.0**3 * atoms.get_volume() / (2 * np.pi) ** 3, rel=0.03)


def test_two_atoms_and_debye():
    positions = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 2.0]], [[0.0, 0.0, 0.0], [0.0, 3.0, 0.0]]])
    q = np.array([0.5, 1.0, 2.0])
    amplitudes = np.array([[[3.0] * 3, [-1.0] * 3]])
    want = 1 - 6 * 0.5 * (np.sin(2 * q) / (2 * q) + np.sin(3 * q) / (3 * q)) / 10
    np.testing.assert_allclose(scattering.debye_structure_factor(positions, amplitudes, q)[0], want)
