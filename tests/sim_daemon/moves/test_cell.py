import numpy as np
import pytest

from protocol.records import Structure
from sim_daemon.ensembles import Npt, shape
from sim_daemon.moves.cell import SMALLEST_A3, barostat_of, strained, volume

SKEWED = np.array([[4.0, 0.3, -0.2], [1.5, 5.0, 0.1], [-0.7, 0.9, 6.0]])


def barostat(cell="full", atoms=3, **keys):
    ensemble = Npt(name="npt", temperature_K=300, pressure_GPa=1.0, cell=cell, **keys)
    return barostat_of(ensemble, Structure(np.zeros((atoms, 3)), np.ones(atoms, int), SKEWED, np.ones(3, bool)))


def test_a_strain_has_its_volume_and_stands_upright():
    strain = barostat().draw(np.random.default_rng(1), 0.3)
    change = strained(SKEWED, strain)
    assert volume(change.cell) / volume(SKEWED) == pytest.approx(np.exp(np.trace(strain)))
    np.testing.assert_array_equal(np.triu(change.cell, 1), 0)
    assert (np.diag(change.cell) > 0).all()
    np.testing.assert_allclose(change.rest @ change.rest.T, np.eye(3), atol=1e-14)
    assert np.linalg.det(change.rest) == pytest.approx(1.0)
    np.testing.assert_allclose(SKEWED @ change.centroids, change.cell, atol=1e-12)


def test_the_inverse_strain_leads_back():
    """Turned with the cell, minus the strain undoes it: metric, centroids and distances are what they were."""
    strain = barostat().draw(np.random.default_rng(2), 0.4)
    there = strained(SKEWED, strain)
    back = strained(there.cell, -there.rest.T @ strain @ there.rest)
    np.testing.assert_allclose(back.cell @ back.cell.T, SKEWED @ SKEWED.T, atol=1e-12)
    modes = np.random.default_rng(3).normal(size=(4, 2, 3))
    again = back.moved(there.moved(modes))
    np.testing.assert_allclose(again @ again.transpose(0, 2, 1), modes @ modes.transpose(0, 2, 1), atol=1e-12)


@pytest.mark.parametrize("cell", ["isotropic", "orthorhombic", "full"])
def test_the_step_is_the_spread_of_ln_volume(cell):
    generator = np.random.default_rng(4)
    strains = np.array([barostat(cell).draw(generator, 0.2) for _ in range(4000)])
    assert np.trace(strains, axis1=1, axis2=2).std() == pytest.approx(0.2, rel=0.06)
    np.testing.assert_array_equal(strains, strains.transpose(0, 2, 1))
    aside = strains[:, 0, 1].var()
    assert aside == pytest.approx(0.04 / 6 if cell == "full" else 0.0, rel=0.12)  # half of the diagonal's: no axis is special


def test_only_the_centroid_follows_the_cell():
    change = strained(SKEWED, 0.1 * np.eye(3))
    modes = np.random.default_rng(5).normal(size=(3, 2, 3))
    moved = change.moved(modes)
    np.testing.assert_allclose(moved[0], np.exp(0.1) * modes[0])
    np.testing.assert_array_equal(moved[1:], modes[1:])


def test_a_left_handed_cell_stays_one():
    change = strained(SKEWED[[1, 0, 2]], barostat().draw(np.random.default_rng(6), 0.1))
    assert np.linalg.det(change.cell) < 0


def test_relabelled_axes_do_not_change_the_shape():
    for order in ([1, 2, 0], [0, 2, 1], [2, 1, 0]):
        assert shape(SKEWED[order]) == pytest.approx(shape(SKEWED))


def test_the_domain_is_stated():
    edge = np.cbrt(SMALLEST_A3 * 3)
    assert not barostat().allows(0.99 * edge * np.eye(3))
    assert barostat().allows(1.01 * edge * np.eye(3))
    long = np.diag([3.0, 3.0, 12.1])
    assert not barostat(largest_ratio=4.0).allows(long)
    assert barostat("isotropic", largest_ratio=4.0).allows(long)
    leaning = np.array([[3.0, 0, 0], [0, 3.0, 0], [0, 2.0, 2.2]])
    assert shape(leaning)[1] == pytest.approx(0.673, abs=1e-3)
    assert barostat(largest_cosine=0.7).allows(leaning)
    assert not barostat(largest_cosine=0.6).allows(leaning)


def test_the_cost_of_a_change():
    """p dV - (N+1) kT ln(V'/V), by hand."""
    old, new = 4.0 * np.eye(3), 5.0 * np.eye(3)
    expected = 1.0 / 160.2176634 * (125 - 64) - 4 / 40.0 * np.log(125 / 64)
    assert barostat(atoms=3).cost(40.0, old, new) == pytest.approx(expected)
