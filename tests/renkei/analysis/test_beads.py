"""P against 2P for harmonic rings, against closed forms (docs/methods.md), and for what the comparison cannot say."""

import numpy as np
import pytest

from kernels.ring_polymer import mode_matrix
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K
from renkei.analysis.beads import Rings, compare, interleaved, new_beads

KELVIN, HYDROGEN, HYDROGEN_AMU, OXYGEN_AMU = 300.0, np.array([1]), 1.00794, 15.999
GOLDEN = {8: 0.138288315, 16: 0.169620337, 32: 0.181447944}  # E_P of one dimension, eV
RADIUS2 = {8: 0.00337046302, 16: 0.00430969181, 32: 0.00466424373}  # A^2, one component


def asked(rings, positions):
    energies, forces = rings.well(positions.reshape(-1, *positions.shape[-2:]))
    return Rings(positions, energies.reshape(positions.shape[:3]), forces.reshape(positions.shape))


@pytest.fixture
def doubled(rings):
    """The comparison for independent exact rings; spread: of the new beads, 1 is right."""

    def make(count, states=3000, masses=(HYDROGEN_AMU,), numbers=HYDROGEN, spread=1.0):
        old = asked(rings, rings.draw(states, 2, count, masses, KELVIN, 3))
        added = new_beads(old.positions, old.forces, np.array(masses), KELVIN, np.random.default_rng(4))
        middle = 0.5 * (old.positions + np.roll(old.positions, -1, axis=2))
        new = asked(rings, middle + spread * (added.positions - middle))
        return compare(old, new, added.log_ratio, numbers, KELVIN)

    return make


def z(found, answer):
    return (found.mean - answer) / found.stderr


def test_energies_at_p_and_2p_are_the_golden_ones_and_the_difference_is_sharper(doubled):
    found = doubled(16)
    whole, kinetic = found.means["energy_virial_eV"], found.means["kinetic_energy_H_eV"]
    for one, share in ((whole, 3.0), (kinetic, 1.5)):
        assert abs(z(one.fewer, share * GOLDEN[16])) < 4.5
        assert abs(z(one.more, share * GOLDEN[32])) < 4.5
        assert abs(z(one.difference, share * (GOLDEN[32] - GOLDEN[16]))) < 4.5
        assert one.difference.mean > 20 * one.difference.stderr
    assert kinetic.difference.stderr < 0.6 * np.hypot(kinetic.fewer.stderr, kinetic.more.stderr)
    radius = found.means["radius_of_gyration_H_A"].more
    assert 0.95 * np.sqrt(3 * RADIUS2[32]) < radius.mean < np.sqrt(3 * RADIUS2[32])  # a mean of roots
    assert found.health.refusal == ""


def test_what_p_lacks_of_the_limit(doubled):
    """4/3 of the difference: exact to the next order in 1/P^2."""
    share, error = doubled(32).means["kinetic_energy_H_eV"].lacking
    limit = 0.185976508
    assert share == pytest.approx((limit - GOLDEN[32]) / limit, abs=4 * error + 0.002)


def test_the_alarm_rings_for_beads_of_another_width(doubled):
    wrong = doubled(16, spread=1.3).means["kinetic_energy_H_eV"]
    assert abs(z(wrong.difference, 1.5 * (GOLDEN[32] - GOLDEN[16]))) > 10


def test_new_beads_make_the_free_ring_of_twice_as_many(rings):
    """Free rings: every mode of 2P beads has its own variance."""
    count, masses = 4, np.array([HYDROGEN_AMU])
    thermal, mass = KB_EV_PER_K * KELVIN, HYDROGEN_AMU * AMU_EV_FS2_PER_A2
    rng = np.random.default_rng(5)
    springs = mass / count * rings.ring_frequencies(count, KELVIN)[1:] ** 2
    modes = np.zeros((4000, 1, count, 1, 3))
    modes[:, :, 1:] = rng.standard_normal((4000, 1, count - 1, 1, 3)) * np.sqrt(thermal / springs)[:, None, None]
    old = np.einsum("kp,twkna->twpna", mode_matrix(count), modes)
    found = new_beads(old, np.zeros_like(old), masses, KELVIN, rng)
    assert (found.log_ratio == 0).all()
    both = interleaved(old, found.positions)
    assert both.shape == (4000, 1, 2 * count, 1, 3)
    np.testing.assert_array_equal(both[:, :, ::2], old)
    link = (np.roll(both, -1, axis=2) - both) ** 2
    variance = HBAR_EV_FS**2 / (thermal * mass * 2 * count) * (1 - 1 / (2 * count))  # of a link in a closed ring
    assert link.mean() == pytest.approx(variance, rel=0.02)
    assert link[:, :, ::2].mean() == pytest.approx(link[:, :, 1::2].mean(), rel=0.02)


@pytest.mark.parametrize(("count", "tolerance", "enough"), [(8, 0.03, False), (32, 0.05, True), (32, 0.0245, None)])
def test_the_decision_is_that_of_the_closed_form(doubled, count, tolerance, enough):
    found = doubled(count, states=600)
    said, name = found.decision(tolerance)
    assert (said, name) == (enough, "kinetic_energy_H_eV")


def test_the_lightest_element_decides(doubled, rings):
    found = doubled(16, masses=(OXYGEN_AMU, HYDROGEN_AMU), numbers=np.array([8, 1]), states=600)
    exact = {n: rings.energy(32, m, KELVIN) - rings.energy(16, m, KELVIN) for n, m in (("O", OXYGEN_AMU), ("H", HYDROGEN_AMU))}
    for name, answer in exact.items():
        assert abs(z(found.means[f"kinetic_energy_{name}_eV"].difference, 1.5 * answer)) < 4.5
    assert found.decision(0.03) == (False, "kinetic_energy_H_eV")


def test_weights_of_the_states_join_and_what_the_potential_refuses_has_none(rings):
    """States of a softer well, weighted to the right one; and rings of which a new bead has no energy."""
    count, soft = 16, 0.8
    thermal = KB_EV_PER_K * KELVIN
    mass = HYDROGEN_AMU * AMU_EV_FS2_PER_A2
    width = np.sqrt(thermal / (mass / count * rings.ring_frequencies(count, KELVIN) ** 2 + soft * rings.STIFFNESS / count))
    modes = np.random.default_rng(1).standard_normal((3000, 2, count, 1, 3)) * width[:, None, None]
    old = np.einsum("kp,twkna->twpna", mode_matrix(count), modes)
    logs = -(1 - soft) / soft * 0.5 * soft * rings.STIFFNESS * (old**2).sum(axis=(-1, -2)).mean(axis=-1) / thermal
    before = asked(rings, old)
    drawn = new_beads(old, before.forces, np.array([HYDROGEN_AMU]), KELVIN, np.random.default_rng(2))
    added = asked(rings, drawn.positions)
    found = compare(before, added, drawn.log_ratio, HYDROGEN, KELVIN, logs + 500.0).means["energy_virial_eV"]
    assert abs(z(found.fewer, 3 * GOLDEN[16])) < 4.5
    assert abs(z(found.difference, 3 * (GOLDEN[32] - GOLDEN[16]))) < 4.5
    added.energies[0, 0, 3], added.forces[0, 0, 3] = np.inf, 0.0
    again = compare(before, added, drawn.log_ratio, HYDROGEN, KELVIN, logs).means["energy_virial_eV"]
    assert np.isfinite(again.difference).all()
    assert again.difference.mean == pytest.approx(found.difference.mean, abs=found.difference.stderr)


def test_too_little_in_common_is_refused(doubled):
    """Forty hydrogen atoms on 2 beads: the new beads are far out in the wells."""
    found = doubled(2, states=300, masses=(HYDROGEN_AMU,) * 40, numbers=np.ones(40, int))
    assert "n_eff of the weights" in found.health.refusal
    assert found.decision(0.03)[0] is None
