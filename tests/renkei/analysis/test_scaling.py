"""Other masses and temperatures of harmonic rings: F_P and dE_P/dT are known."""

import numpy as np
import pytest

from renkei.analysis import scaling

KELVIN = 300.0


@pytest.mark.parametrize("beads", [1, 4, 16])
def test_free_energy_of_heavy_hydrogen(rings, beads):
    masses, other = np.array([rings.HYDROGEN_AMU, 16.0]), np.array([2.014, 16.0])
    x = rings.draw(1500, 2, beads, masses, KELVIN, seed=10 + beads)
    found = scaling.isotope_free_energy(x, masses, other, KELVIN, lambda r: rings.well(r)[0] - 1e4)
    want = 3 * (rings.free_energy(beads, 2.014, KELVIN) - rings.free_energy(beads, masses[0], KELVIN))
    assert abs(found.mean - want) < 4.5 * max(found.stderr, 1e-9)
    # mutation: the rings left as they are
    unscaled = scaling.isotope_free_energy(x, masses, other, KELVIN, lambda r: np.zeros(len(r)))
    if beads > 1:
        assert abs(unscaled.mean - want) > 10 * found.stderr
        assert abs(want) > 10 * found.stderr > 0
    else:
        assert found.mean == pytest.approx(-1.5 * 8.617333262e-5 * KELVIN * np.log(2.014 / masses[0]))


def test_heat_capacity_from_scaled_rings(rings):
    beads = 8
    x = rings.draw(2000, 2, beads, [rings.HYDROGEN_AMU], KELVIN, seed=3)
    found = scaling.heat_capacity_by_scaling(x, KELVIN, 10.0, rings.well)
    energies = [rings.energy(beads, rings.HYDROGEN_AMU, KELVIN + d) for d in (10.0, -10.0)]
    want = 3 * (energies[0] - energies[1]) / 20
    assert abs(found.mean - want) < 4.5 * found.stderr
    assert 0 < found.stderr < 0.1 * want


def test_scaling_keeps_the_centroid_and_scales_the_rest():
    x = np.random.default_rng(1).standard_normal((2, 4, 3, 3))
    scaled = scaling.scaled_rings(x, np.array([1.0, 2.0, 0.5]))
    np.testing.assert_allclose(scaled.mean(axis=1), x.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose(scaled[:, :, 0], x[:, :, 0])
    np.testing.assert_allclose(np.ptp(scaled[:, :, 1], axis=1), 2 * np.ptp(x[:, :, 1], axis=1))
