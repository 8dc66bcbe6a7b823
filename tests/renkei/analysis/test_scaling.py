"""Other masses of harmonic rings: F_P is known."""

import numpy as np
import pytest

from kernels.units import KB_EV_PER_K
from renkei.analysis import scaling

KELVIN = 300.0
THERMAL = KB_EV_PER_K * KELVIN


def changed(rings, x, other, well=lambda r: r, log_weights=None):
    """Of hydrogen and a mass of 16 in wells; well: what is made of the wells' energies."""
    masses, others = np.array([rings.HYDROGEN_AMU, 16.0]), np.array([other, 16.0])
    before, after = (_averages(rings, r, well) for r in (x, scaling.rings_of_masses(x, masses, others)))
    return scaling.isotope_free_energy(before, after, masses, others, KELVIN, log_weights)


def _averages(rings, x, well=lambda r: r):
    return well(rings.well(x.reshape(-1, *x.shape[-2:]))[0].reshape(x.shape[:-2]).mean(axis=-1))


def draw(rings, beads, seed):
    return rings.draw(1500, 2, beads, np.array([rings.HYDROGEN_AMU, 16.0]), KELVIN, seed=seed)


@pytest.mark.parametrize("beads", [1, 4, 16])
def test_free_energy_of_heavy_hydrogen(rings, beads):
    found = changed(rings, draw(rings, beads, 10 + beads), 2.014, lambda v: v - 1e4)
    want = 3 * (rings.free_energy(beads, 2.014, KELVIN) - rings.free_energy(beads, rings.HYDROGEN_AMU, KELVIN))
    classical = -1.5 * THERMAL * np.log(2.014 / rings.HYDROGEN_AMU)
    assert found.classical_eV == pytest.approx(classical)
    assert found.refusal == ""
    if beads == 1:
        assert (found.excess.mean, found.excess.stderr, found.log_ratio.mean) == (0, 0, 0)
        assert found.total.mean == pytest.approx(want, abs=1e-12)
        return
    assert abs(found.total.mean - want) < 4.5 * found.total.stderr
    assert abs(want) > 10 * found.total.stderr > 0
    assert found.log_ratio.mean == pytest.approx(-(found.total.mean - classical) / THERMAL)
    assert found.log_ratio.stderr == pytest.approx(found.total.stderr / THERMAL)
    # mutation: the rings left as they are
    assert abs(classical - want) > 10 * found.total.stderr


def test_weighted_states_have_the_free_energy_of_their_own_well(rings):
    x = draw(rings, 4, 3)
    stiffer = 1.2  # times the well that the rings were drawn in
    logs = -(stiffer - 1) * _averages(rings, x) / THERMAL
    found = changed(rings, x, 2.014, lambda v: stiffer * v, logs + 1e3)
    # a stiffer well is one of another mass at the same frequencies: F(m, s k) = F(m / s, k)
    want = 3 * (rings.free_energy(4, 2.014 / stiffer, KELVIN) - rings.free_energy(4, rings.HYDROGEN_AMU / stiffer, KELVIN))
    assert abs(found.total.mean - want) < 4.5 * found.total.stderr
    unweighted = changed(rings, x, 2.014, lambda v: stiffer * v)
    assert abs(unweighted.total.mean - want) > 4.5 * unweighted.total.stderr


def test_there_and_back(rings):
    there = changed(rings, draw(rings, 8, 5), 2.014).total
    heavy = rings.draw(1500, 2, 8, [2.014, 16.0], KELVIN, seed=6)
    masses, others = np.array([2.014, 16.0]), np.array([rings.HYDROGEN_AMU, 16.0])
    back = [_averages(rings, r) for r in (heavy, scaling.rings_of_masses(heavy, masses, others))]
    back = scaling.isotope_free_energy(*back, masses, others, KELVIN).total
    assert abs(there.mean + back.mean) < 4.5 * np.hypot(there.stderr, back.stderr)


def test_what_is_refused(rings):
    x = draw(rings, 16, 7)
    far = changed(rings, x, 0.06)
    assert "n_eff of the weights" in far.refusal
    assert "at least 50 wanted" in changed(rings, x[:20], 1.1).refusal  # 40 rings
    assert "n_eff of the weights is 3" in changed(rings, x, 1.1, log_weights=np.linspace(0, 3e3, 3000).reshape(1500, 2)).refusal
    slow = x[::100].repeat(100, axis=0)  # each ring a hundred times: the weights look well
    assert "effective samples, at least 50 wanted" in changed(rings, slow, 1.1).refusal


def test_forbidden_rings_weigh_nothing(rings):
    x = draw(rings, 4, 8)
    before = _averages(rings, x)
    after = _averages(rings, scaling.rings_of_masses(x, [1.0, 16.0], [2.0, 16.0]))
    walls = np.where(np.arange(1500)[:, None] % 4, after, np.inf)
    change = [scaling.isotope_free_energy(before, a, [1.0, 16.0], [2.0, 16.0], KELVIN) for a in (after, walls)]
    assert change[1].excess.mean - change[0].excess.mean == pytest.approx(
        -THERMAL * np.log(0.75), abs=5 * change[1].excess.stderr
    )
    assert 0.6 * change[0].health.kish < change[1].health.kish < change[0].health.kish


def test_scaling_keeps_the_centroid_and_scales_the_rest():
    x = np.random.default_rng(1).standard_normal((2, 4, 3, 3))
    scaled = scaling.scaled_rings(x, np.array([1.0, 2.0, 0.5]))
    np.testing.assert_allclose(scaled.mean(axis=1), x.mean(axis=1), atol=1e-15)
    np.testing.assert_allclose(scaled[:, :, 0], x[:, :, 0])
    np.testing.assert_allclose(np.ptp(scaled[:, :, 1], axis=1), 2 * np.ptp(x[:, :, 1], axis=1))
