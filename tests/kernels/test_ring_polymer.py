import numpy as np
import pytest

from kernels.ring_polymer import contraction_matrix, estimators, mode_matrix, ring_polymer, squared_radius_of_gyration
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS

MASS, TEMPERATURE = np.array([1.00794]), 300.0
OMEGA = 3000 * WAVENUMBER_RAD_PER_FS
# docs/methods.md: E_P / eV, <x^2> / A^2, rg^2 of one component / A^2
GOLDEN = {
    1: (0.0258519998, 0.000774956111, 0.0),
    2: (0.0498492132, 0.00149431196, 0.000719355846),
    4: (0.0903804249, 0.00270930153, 0.00193434542),
    8: (0.138288315, 0.00414541913, 0.00337046302),
    16: (0.169620337, 0.00508464792, 0.00430969181),
    32: (0.181447944, 0.00543919985, 0.00466424373),
}


@pytest.mark.parametrize("beads", [1, 2, 3, 4, 8, 9, 32])
def test_modes_are_orthonormal_and_diagonalise_the_springs(beads):
    matrix = mode_matrix(beads)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(beads), atol=1e-13)
    ring = ring_polymer(MASS, TEMPERATURE, beads, 3000)
    x = np.random.default_rng(1).normal(size=(beads, 1, 3))
    omega_p = np.sqrt(beads) * KB_EV_PER_K * TEMPERATURE / HBAR_EV_FS
    direct = 0.5 * MASS[0] * AMU_EV_FS2_PER_A2 * omega_p**2 * np.sum((np.roll(x, -1, axis=0) - x) ** 2)
    if beads > 1:
        assert ring.spring_energy(ring.to_modes(x)) == pytest.approx(direct, rel=1e-12)
    np.testing.assert_allclose(ring.to_beads(ring.to_modes(x)), x, atol=1e-13)


@pytest.mark.parametrize("beads", GOLDEN)
def test_harmonic_variances_are_the_finite_bead_golden_numbers(beads):
    ring = ring_polymer(MASS, TEMPERATURE, beads, 3000)
    stiffness = ring.springs[:, 0] + ring.masses[0] * OMEGA**2 / beads
    variances = 1 / (ring.beta * stiffness)  # of each mode
    energy, square, gyration = GOLDEN[beads]
    assert variances.sum() / beads == pytest.approx(square, rel=1e-8)
    assert variances[1:].sum() / beads == pytest.approx(gyration, rel=1e-8, abs=1e-15)
    assert ring.masses[0] * OMEGA**2 * variances.sum() / beads == pytest.approx(energy, rel=1e-8)


@pytest.mark.parametrize(("beads", "golden"), [(4, 0.0125329711), (16, 0.0133162818), (32, 0.0133554473)])
def test_free_ring_radius_of_gyration(beads, golden):
    ring = ring_polymer(MASS, TEMPERATURE, beads, 3000)
    assert np.sum(1 / (ring.beta * ring.springs[1:, 0])) / beads == pytest.approx(golden, rel=1e-8)
    assert golden == pytest.approx(ring.beta * HBAR_EV_FS**2 / (12 * ring.masses[0]) * (1 - 1 / beads**2), rel=1e-8)


@pytest.mark.parametrize("beads", [1, 2, 7, 16])
def test_free_step_solves_the_equations_of_motion(beads):
    ring = ring_polymer(np.array([1.0, 16.0]), TEMPERATURE, beads, 2500)
    rng = np.random.default_rng(beads)
    q, p = rng.normal(size=(2, beads, 2, 3))

    def move(q, p, dt):
        c = ring.free_step(dt)
        return q * c.cosine + p * c.momentum_to_position, p * c.cosine - q * c.position_to_momentum

    half = move(*move(q, p, 0.3), 0.4)
    np.testing.assert_allclose(half, move(q, p, 0.7), atol=1e-12)  # a flow
    tiny = 1e-5
    after = move(q, p, tiny)
    np.testing.assert_allclose((after[0] - q) / tiny, p / ring.mode_masses[..., None], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose((after[1] - p) / tiny, -ring.springs[..., None] * q, rtol=1e-3, atol=1e-3)
    energy = ring.kinetic(p) + ring.spring_energy(q)
    assert ring.kinetic(half[1]) + ring.spring_energy(half[0]) == pytest.approx(energy, rel=1e-12)


def test_momenta_have_the_mode_variances():
    ring = ring_polymer(np.array([1.0, 16.0]), TEMPERATURE, 4, 2500)
    generator = np.random.default_rng(3)
    draws = np.array([ring.draw_momenta(generator) for _ in range(4000)])
    ratio = (draws**2).mean(axis=(0, 3)) * ring.beta / ring.mode_masses
    assert np.abs(ratio - 1).max() < 4.5 * np.sqrt(2 / 12000)


def test_no_mode_is_faster_than_the_reference():
    ring = ring_polymer(np.array([1.0, 60.0]), 50.0, 64, 2000)
    assert ring.frequencies.max() < 2000 * WAVENUMBER_RAD_PER_FS


def test_estimators_do_not_see_a_cyclic_permutation_and_agree_for_one_bead():
    ring = ring_polymer(MASS, TEMPERATURE, 8, 3000)
    rng = np.random.default_rng(4)
    x, e, f = rng.normal(size=(8, 1, 3)), rng.normal(size=8), rng.normal(size=(8, 1, 3))
    first = estimators(ring, x, e, f)
    second = estimators(ring, np.roll(x, 3, 0), np.roll(e, 3), np.roll(f, 3, 0))
    np.testing.assert_allclose(first, second, rtol=1e-12)
    np.testing.assert_allclose(squared_radius_of_gyration(x), squared_radius_of_gyration(np.roll(x, 3, 0)), rtol=1e-12)
    one = ring_polymer(MASS, TEMPERATURE, 1, 3000)
    told = estimators(one, x[:1], e[:1], f[:1])
    assert told.primitive == pytest.approx(told.virial) == pytest.approx(1.5 * KB_EV_PER_K * TEMPERATURE + e[0])


def test_heated_is_the_ring_of_the_higher_temperature():
    ring = ring_polymer(np.array([1.0, 16.0]), 300.0, 8, 2500)
    hot, direct = ring.heated(1.5), ring_polymer(np.array([1.0, 16.0]), 450.0, 8, 2500)
    for name in ("beta", "springs", "mode_masses", "frequencies"):
        np.testing.assert_allclose(getattr(hot, name), getattr(direct, name), rtol=1e-12)


def test_contraction_keeps_constants_and_the_slowest_modes():
    for beads, fewer in ((16, 5), (7, 3), (4, 1), (4, 3)):
        matrix = contraction_matrix(beads, fewer)
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-14)
        phase = 0.4
        wave = np.cos(2 * np.pi * np.arange(beads) / beads + phase)
        slow = np.cos(2 * np.pi * np.arange(fewer) / fewer + phase)
        np.testing.assert_allclose(matrix @ wave, slow if fewer > 1 else 0, atol=1e-13)  # a wave is followed, or averaged out
    np.testing.assert_allclose(contraction_matrix(5, 5), np.eye(5), atol=1e-14)
    np.testing.assert_allclose(contraction_matrix(6, 1), np.full((1, 6), 1 / 6), atol=1e-15)
