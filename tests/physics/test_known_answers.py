"""Averages of the real samplers against known answers at finite P.

Every z below comes from independent walkers; the alarm is |z| > 4.5 with at least 48 degrees of freedom (4e-5 each).
"""

import numpy as np
import pytest

from kernels.random_numbers import step_rng
from kernels.ring_polymer import estimators, ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase
from sim_daemon.moves.ring_move import ring_step
from sim_daemon.samplers.base import Plan, start_state

MASS_AMU, TEMPERATURE_K = 1.00794, 300.0
OMEGA = 3000 * WAVENUMBER_RAD_PER_FS
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * OMEGA**2  # eV/A^2
ALARM = 4.5
# three components of docs/methods.md's one-dimensional golden numbers: E_P / eV, <x^2> / A^2, rg^2 / A^2
GOLDEN = {
    1: (0.0258519998, 0.000774956111, 0.0),
    2: (0.0498492132, 0.00149431196, 0.000719355846),
    4: (0.0903804249, 0.00270930153, 0.00193434542),
    8: (0.138288315, 0.00414541913, 0.00337046302),
    16: (0.169620337, 0.00508464792, 0.00430969181),
    32: (0.181447944, 0.00543919985, 0.00466424373),
}


def harmonic(stiffness):
    return lambda x: (0.5 * stiffness * np.sum(x**2, axis=(1, 2)), -stiffness * x)


def ripple(x):
    """A wrong surrogate: too stiff, with a ripple that is not smooth on the scale of a bond."""
    energy, forces = harmonic(1.3 * STIFFNESS)(x)
    return energy + 0.01 * np.sum(np.cos(40 * x), axis=(1, 2)), forces + 0.4 * np.sin(40 * x)


def sample(
    target, surrogate, beads, walkers, steps, seed, timestep_fs=1.0, trajectory_fs=4.0, width=0.05, step=ring_step, burn=40
):
    """Chain of all walkers: positions (steps, W, P, N, 3), energies, forces, log ratios and acceptance (steps, W)."""
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, beads, 3000)
    first = np.random.default_rng(seed).normal(0, width, (walkers, beads, len(ring.masses), 3))
    first = first[:, :1] + 0.2 * (first - first[:, :1])
    state = start_state(target, first)
    plan = Plan(Phase.PRODUCTION, 1, 0 if surrogate else -1, "", timestep_fs, trajectory_fs)
    kept = []
    for number in range(1, steps + burn + 1):
        state, infos = step(ring, target, state, surrogate, plan, step_rng(seed, "test", number))
        if number > burn:
            kept.append((state, [i.log_ratio for i in infos], [i.accepted for i in infos]))
    return ring, kept


def averages(ring, kept):
    """Walker means (W,) of E virial, E primitive, <x^2> and rg^2 per component."""
    rows = []
    for state, _, _ in kept:
        for x, e, f in zip(state.positions, state.energies, state.forces, strict=True):
            told = estimators(ring, x, e, f)
            away = x - x.mean(axis=0)
            rows.append((told.virial, told.primitive, np.mean(x**2), np.mean(away**2)))
    return np.array(rows).reshape(len(kept), -1, 4).mean(axis=0)


def z_scores(walker_means, answers):
    mean, error = walker_means.mean(axis=0), walker_means.std(axis=0, ddof=1) / np.sqrt(len(walker_means))
    return (mean - np.array(answers)) / np.where(error > 0, error, 1e-12)


@pytest.mark.parametrize("beads", GOLDEN)
def test_harmonic_oscillator_with_a_wrong_surrogate(beads, formula_target, formula_surrogate):
    target = formula_target(harmonic(STIFFNESS), [MASS_AMU])
    ring, kept = sample(target, formula_surrogate(ripple), beads, walkers=48, steps=200, seed=beads)
    energy, square, gyration = GOLDEN[beads]
    means = averages(ring, kept)
    chosen = slice(None) if beads > 1 else slice(0, 3)
    z = z_scores(means, (3 * energy, 3 * energy, square, gyration))[chosen]
    assert np.abs(z).max() < ALARM, z
    assert 0.2 < np.mean([k[2] for k in kept]) < 0.99  # the surrogate is wrong enough to be rejected


def test_first_principles_chain_gives_the_same(formula_target):
    target = formula_target(harmonic(STIFFNESS), [MASS_AMU])
    ring, kept = sample(target, None, 8, walkers=48, steps=200, seed=11)
    energy, square, gyration = GOLDEN[8]
    z = z_scores(averages(ring, kept), (3 * energy, 3 * energy, square, gyration))
    assert np.abs(z).max() < ALARM, z


def test_the_alarm_rings_for_a_decision_by_the_surrogate(formula_target, formula_surrogate):
    """The mutation that the tests above must catch: the wrong potential decides too."""
    wrong = formula_target(ripple, [MASS_AMU])
    ring, kept = sample(wrong, formula_surrogate(ripple), 8, walkers=48, steps=200, seed=8)
    square = GOLDEN[8][1]
    z = z_scores(averages(ring, kept)[:, 2:3], (square,))
    assert np.abs(z).max() > 10, z


def test_creutz_equality(formula_target, formula_surrogate):
    target = formula_target(harmonic(STIFFNESS), [MASS_AMU])
    _, kept = sample(target, formula_surrogate(harmonic(1.3 * STIFFNESS)), 4, walkers=48, steps=200, seed=5)
    factors = np.exp(np.array([k[1] for k in kept])).mean(axis=0)
    assert abs(z_scores(factors[:, None], (1.0,))[0]) < ALARM


def test_nan_surrogate_only_lowers_acceptance(formula_target, formula_surrogate):
    """NaN in half of space: trapped proposals are rejected before any engine call, and the averages stay."""

    def holes(x):
        energy, forces = harmonic(STIFFNESS)(x)
        lost = np.abs(x).max(axis=(1, 2)) > 0.05
        return np.where(lost, np.nan, energy), np.where(lost[:, None, None], np.nan, forces)

    # walkers that start outside of the holes: the sampled domain is then the inside, as the target's own guard would make it
    def walled(x):
        energy, forces = harmonic(STIFFNESS)(x)
        return np.where(np.abs(x).max(axis=(1, 2)) > 0.05, np.inf, energy), forces

    target = formula_target(walled, [MASS_AMU])
    ring, with_holes = sample(target, formula_surrogate(holes), 1, walkers=64, steps=200, seed=2, width=0.01)
    spent = target.calls
    assert spent < 64 * 240 + 64  # trapped trajectories cost no engine call
    from scipy.stats import truncnorm

    sigma = np.sqrt(KB_EV_PER_K * TEMPERATURE_K / STIFFNESS)
    exact = truncnorm(-0.05 / sigma, 0.05 / sigma, scale=sigma).var()
    z = z_scores(averages(ring, with_holes)[:, 2:3], (exact,))
    assert abs(z[0]) < ALARM, z


def test_one_bead_is_classical_hybrid_monte_carlo_bit_for_bit(formula_target, formula_surrogate):
    """Leapfrog and Metropolis written out again, with the same random numbers."""
    target, surrogate = formula_target(harmonic(STIFFNESS), [MASS_AMU]), formula_surrogate(ripple)
    _, kept = sample(target, surrogate, 1, walkers=1, steps=60, seed=3, burn=0)
    mass, beta, dt = MASS_AMU * AMU_EV_FS2_PER_A2, 1 / (KB_EV_PER_K * TEMPERATURE_K), 1.0
    x = np.random.default_rng(3).normal(0, 0.05, (1, 1, 1, 3))[0, 0]
    energy = target(x[None])[1][0]
    for number, (state, ratios, accepted) in enumerate(kept, start=1):
        rng = step_rng(3, "test", number)
        length = 4.0 * 8.0 ** (rng("length", 0).random() - 1)
        p = rng("momenta", 0).standard_normal((1, 1, 3))[0] * np.sqrt(mass / beta)
        y, f = x.copy(), ripple(x[None])[1][0]
        start_kinetic = 0.5 * np.sum(p**2 / mass)
        for _ in range(max(1, round(length / dt))):
            p = p + 0.5 * dt * f
            y = y + p * (dt / mass)
            f = ripple(y[None])[1][0]
            p = p + 0.5 * dt * f
        new = target(y[None])[1][0]
        log_ratio = -beta * ((0.5 * np.sum(p**2 / mass) - start_kinetic) + (new - energy))
        assert ratios[0] == log_ratio
        if np.log1p(-rng("accept", 0).random()) < log_ratio:
            x, energy = y, new
            assert accepted[0]
        np.testing.assert_array_equal(state.positions[0, 0], x)


def matrix_product_square(potential, mass_amu, beads):
    """<x^2> of the P-slice density matrix (e^{-eV/2} e^{-eT} e^{-eV/2})^P on a grid, one dimension."""
    beta = 1 / (KB_EV_PER_K * TEMPERATURE_K)
    mass = mass_amu * AMU_EV_FS2_PER_A2
    x = np.linspace(-0.9, 0.9, 1201)
    stiffness = mass * beads / (beta * HBAR_EV_FS) ** 2  # of m omega_P^2, beta convention
    slice_ = np.exp(-0.5 * beta * stiffness * (x[:, None] - x) ** 2 - 0.5 * beta / beads * (potential(x)[:, None] + potential(x)))
    power = np.linalg.matrix_power(slice_ / slice_.sum(axis=1).max(), beads)
    weights = np.diag(power)
    return float((weights * x**2).sum() / weights.sum())


@pytest.mark.parametrize("beads", [2, 6])
def test_quartic_oscillator_against_the_matrix_product(beads, formula_target, formula_surrogate):
    a, b = 2.0, 60.0
    target = formula_target(lambda x: (np.sum(0.5 * a * x**2 + b * x**4, axis=(1, 2)), -(a * x + 4 * b * x**3)), [MASS_AMU])
    exact = matrix_product_square(lambda x: 0.5 * a * x**2 + b * x**4, MASS_AMU, beads)
    ring, kept = sample(
        target, formula_surrogate(harmonic(18.0)), beads, walkers=48, steps=200, seed=9, trajectory_fs=14.0, burn=60
    )
    z = z_scores(averages(ring, kept)[:, 2:3], (exact,))
    assert abs(z[0]) < ALARM, z


def test_reversibility(formula_target, formula_surrogate):
    """Run, flip the momenta, run: back within 1e-9 A."""
    from sim_daemon.moves.trajectory import Trajectory, integrate

    ring = ring_polymer(np.array([MASS_AMU, 16.0]), TEMPERATURE_K, 8, 3000)
    rng = np.random.default_rng(1)
    x, p = rng.normal(0, 0.1, (3, 8, 2, 3)), np.array([ring.draw_momenta(rng) for _ in range(3)])

    def forces(_, positions):
        flat = positions.reshape(-1, 2, 3)
        energy, force = ripple(flat)
        return energy.reshape(positions.shape[:2]), force.reshape(positions.shape)

    steps = np.array([40, 7, 23])
    everyone = np.arange(3)
    there = integrate(ring, Trajectory(x, p, *forces(everyone, x), np.zeros(3, bool)), forces, 0.5, steps)
    back = integrate(
        ring, Trajectory(there.positions, -there.momenta, there.energies, there.forces, there.trapped), forces, 0.5, steps
    )
    assert np.abs(there.positions - x).max() > 0.01
    assert np.abs(back.positions - x).max() < 1e-9


def test_error_of_the_step_falls_as_the_fourth_power(formula_target):
    target = formula_target(lambda x: (np.sum(25 * x**2 + 60 * x**4, axis=(1, 2)), -(50 * x + 240 * x**3)), [MASS_AMU])
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, 4, 3000)
    rng = np.random.default_rng(6)
    state = start_state(target, rng.normal(0, 0.06, (64, 4, 1, 3)))
    changes = []
    for dt in (0.5, 1.0):
        plan = Plan(Phase.ADAPT, 0, -1, "", dt, 20.0)
        ratios = []
        for number in range(1, 9):
            _, infos = ring_step(ring, target, state, None, plan, step_rng(1, "t", number))
            ratios += [i.log_ratio for i in infos]
        changes.append(np.mean(np.array(ratios) ** 2) ** 0.5)  # rms of dH falls as dt^2, its mean as dt^4
    assert 3.0 < changes[1] / changes[0] < 5.5


@pytest.mark.parametrize(("beads", "golden"), [(4, 0.0125329711), (16, 0.0133162818)])
def test_free_ring_polymer_has_its_radius_of_gyration(beads, golden, formula_target, formula_surrogate):
    """No potential at all, moved by a surrogate that invents one: docs/methods.md, one component."""
    target = formula_target(lambda x: (np.zeros(len(x)), np.zeros_like(x)), [MASS_AMU])
    ring, kept = sample(
        target, formula_surrogate(harmonic(0.5)), beads, walkers=48, steps=150, seed=4, width=0.2, trajectory_fs=12.0
    )
    z = z_scores(averages(ring, kept)[:, 3:4], (golden,))
    assert abs(z[0]) < ALARM, z
