"""Mixtures against known answers at finite P, with and without weights, and contracted rings.

z from independent walkers, at least 40 of them; the alarm |z| > 5.5 rings by chance 2e-6 each.
"""

import math

import numpy as np
import pytest

from kernels import statistics
from kernels.random_numbers import step_rng
from kernels.ring_polymer import contraction_matrix, estimators, ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase
from sim_daemon.moves import contraction, ring_move
from sim_daemon.moves.contraction import contract
from sim_daemon.samplers import sl_pihmc_mix
from sim_daemon.samplers.base import Plan

MASS_AMU, TEMPERATURE_K, BEADS = 1.00794, 300.0, 4
OMEGA = 3000 * WAVENUMBER_RAD_PER_FS
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * OMEGA**2  # eV/A^2
ALARM = 5.5
GOLDEN = (0.0903804249, 0.00270930153, 0.00193434542)  # docs/methods.md: E_P / eV, <x^2> / A^2, rg^2 / A^2 of one component
MIXED_SQUARE = 0.00309157335  # <x^2> of the mixture: omega_ML^2 = 0.8 omega^2, alpha = 0.3


def harmonic(stiffness):
    return lambda x: (0.5 * stiffness * np.sum(x**2, axis=(1, 2)), -stiffness * x)


def bumpy(x):
    """A wrong surrogate: too soft, with a cubic bump that ends."""
    energy, forces = harmonic(0.8 * STIFFNESS)(x)
    bump = 40.0 * x**3 * np.exp(-80 * x**2)
    return energy + bump.sum(axis=(1, 2)), forces - 40.0 * (3 * x**2 - 160 * x**4) * np.exp(-80 * x**2)


@pytest.fixture
def ring():
    return ring_polymer(np.array([MASS_AMU]), TEMPERATURE_K, BEADS, 3000)


@pytest.fixture
def walk(monkeypatch, ring, formula_target, formula_surrogate):
    """walk(surrogate, alpha, steps, **keys) -> walker means, with their weights: see `Walked`."""
    monkeypatch.setattr(ring_move, "observe", lambda *_: {})

    def go(formula, alpha, steps=40, walkers=40, burn=10, seed=1, **keys):
        target = formula_target(harmonic(STIFFNESS), [MASS_AMU])
        settings = {"ensemble": {"temperature_K": TEMPERATURE_K}, "beads": BEADS, **keys}
        sampler = sl_pihmc_mix.build(sl_pihmc_mix.Settings.model_validate(settings), ring, target)
        first = np.random.default_rng(7).normal(0, 0.05, (walkers, BEADS, 1, 3))
        state = sampler.init(first[:, :1] + 0.4 * (first - first[:, :1]))
        plan = Plan(Phase.PRODUCTION, 1, 0, "d", 1.0, 8.0, alpha=alpha)
        rows, infos = [], []
        for number in range(1, steps + burn + 1):
            state, told = sampler.step(state, formula_surrogate(formula), plan, step_rng(seed, "test", number))
            if number > burn:
                rows.append([row(ring, x, e, f) for x, e, f in zip(state.positions, state.energies, state.forces, strict=True)])
                infos.append(told)
        return Walked(np.array(rows), infos)

    return go


def row(ring, x, energies, forces):
    found = estimators(ring, x, energies, forces)
    return found.virial / 3, found.primitive / 3, np.mean(x**2), np.mean((x - x.mean(axis=0)) ** 2)


class Walked:
    """Steps of walkers: rows (T, W, 4) of E virial and primitive, <x^2> and rg^2 of one component, and what was told."""

    def __init__(self, rows, infos):
        self.rows, self.infos = rows, infos
        self.logs = np.array([[info.observables["log_weight"] for info in told] for told in infos])
        self.log_ratios = np.array([[info.log_ratio for info in told] for told in infos])
        self.accepted = np.mean([[info.accepted for info in told] for told in infos])
        self.calls = np.array([[info.engine_calls for info in told] for told in infos])

    def z(self, answers, weighted=True):
        """Of the ratio of sums, its error from the walkers' residuals."""
        weights = np.exp(self.logs - self.logs.max()) if weighted else np.ones_like(self.logs)
        total, norm = np.einsum("tw,twk->wk", weights, self.rows), weights.sum(axis=0)
        mean = total.sum(axis=0) / norm.sum()
        residual = total - mean * norm[:, None]
        error = np.sqrt(len(norm) / (len(norm) - 1) * (residual**2).sum(axis=0)) / norm.sum()
        return (mean - np.array(answers)) / error


def answers():
    return GOLDEN[0], GOLDEN[0], GOLDEN[1], GOLDEN[2]


@pytest.mark.parametrize(
    ("alpha", "keys"),
    [
        *((alpha, {}) for alpha in (0.0, 0.3, 0.7, 1.0)),
        (0.5, {"proposal": "segment", "segment": {"verlet_steps": 2, "centroid_friction_per_fs": 0.2}}),
        (0.5, {"delayed_acceptance": "surrogate", "refreshment": {"angle_rad": 0.6}}),
        (0.5, {"contraction": 1}),
        (0.5, {"contraction": 3, "delayed_acceptance": "surrogate"}),
    ],
    ids=str,
)
def test_weighted_averages_are_those_of_first_principles(walk, alpha, keys):
    found = walk(bumpy, alpha, **keys)
    assert np.abs(found.z(answers())).max() < ALARM, found.z(answers())
    assert 0.1 < found.accepted < 0.999
    factors = np.nanmean(np.exp(found.log_ratios), axis=0)
    assert abs(factors.mean() - 1) < ALARM * factors.std(ddof=1) / math.sqrt(len(factors))  # Creutz, of the mixture
    assert (found.logs == 0).all() == (alpha == 1)


def test_without_weights_the_averages_are_those_of_the_mixture(walk):
    """And with the mutation, a forgotten weight, they miss first principles by far."""
    found = walk(harmonic(0.8 * STIFFNESS), 0.3, steps=130)
    square = found.z((0, 0, MIXED_SQUARE, 0), weighted=False)[2]
    assert abs(square) < ALARM
    assert abs(found.z(answers(), weighted=False)[2]) > 10
    assert abs(found.z(answers())[2]) < ALARM
    per_walker = statistics.kish(found.logs)[0] / found.logs.size
    assert per_walker == pytest.approx(0.970**3, abs=0.02)  # three components, each with 0.970


def test_weights_of_a_harmonic_pair():
    """k_mix = 0.8 sampled, k_F = 1 wanted: Kish's share is sqrt(k_mix (2 k_F - k_mix)) / k_F."""
    x = np.random.default_rng(3).normal(0, 1 / math.sqrt(0.8), 400_000)
    assert statistics.kish(-0.1 * x**2)[0] / len(x) == pytest.approx(math.sqrt(0.8 * 1.2), abs=0.001)
    assert math.sqrt(0.8 * 1.2) == pytest.approx(0.979796, abs=1e-6)


def test_a_contracted_first_test_saves_calls_and_what_it_lets_pass_pays_the_ring(walk):
    found = walk(harmonic(2.0 * STIFFNESS), 0.9, contraction=1)
    assert np.abs(found.z(answers())).max() < ALARM
    labelled = np.isfinite(found.log_ratios)
    assert set(found.calls[labelled]) == {1 + BEADS}
    assert set(found.calls[~labelled]) == {1}
    assert 0.2 < labelled.mean() < 0.95
    outcomes = {info.outcome for told in found.infos for info in told}
    assert outcomes == {"accepted", "rejected", "rejected: contraction"}


def test_the_alarm_rings_if_the_full_ring_forgets_the_contracted_test(monkeypatch, walk):
    """The mutation: the exact ratio is tested again as a whole, so the centroid feels its residual twice: k = 1.54, not 1."""
    monkeypatch.setattr(ring_move, "second_stage", lambda first, full: full)
    found = walk(harmonic(0.4 * STIFFNESS), 0.9, steps=160, contraction=1)
    found.rows[..., 2] -= found.rows[..., 3]  # <x_c^2> = 1/(beta k)
    classical = 1 / ((1 / (8.617333262e-5 * TEMPERATURE_K)) * STIFFNESS)
    assert found.z((0, 0, classical, 0))[2] < -10
    assert abs(found.z((0, 0, classical / 1.54, 0))[2]) < ALARM  # 0.4 + 2 * 0.54 sampled, 0.06 from the weights


def test_contracted_beads_in_the_place_of_the_ring(walk, ring):
    """P' = 1: first principles at the centroid, the surrogate in the other modes; its <x^2> is known, and not the exact one."""
    found = walk(harmonic(0.5 * STIFFNESS), 0.6, steps=80, contraction=1, contraction_exact=False)
    free = (ring.springs[:, 0] * BEADS) / ring.masses[0]  # omega_k^2
    soft = np.where(np.arange(BEADS) == 0, OMEGA**2, 0.5 * OMEGA**2)
    modes = 1 / (ring.beta * ring.masses[0] * (free + soft))
    assert np.abs(found.z((0, 0, modes.sum(), modes[1:].sum()))[2:]).max() < ALARM
    assert abs(found.z(answers())[3]) > 10
    assert set(found.calls.ravel()) == {1}
    assert {info.approximation for told in found.infos for info in told} == {"1 contracted beads of 4"}
    virial, primitive = found.rows[..., 0], found.rows[..., 1]
    weights = np.exp(found.logs)
    difference = ((virial - primitive) * weights).sum(axis=0) / weights.sum(axis=0)
    assert abs(difference.mean()) < ALARM * difference.std(ddof=1) / math.sqrt(len(difference))  # energies and forces of one V_c


def test_forces_of_the_contracted_potential_are_its_gradient(ring, formula_target, formula_surrogate):
    quartic = lambda x: (np.sum(x**4, axis=(1, 2)), -4 * x**3)  # noqa: E731
    target, surrogate = formula_target(quartic, [MASS_AMU]), formula_surrogate(harmonic(0.3))
    costs = contraction.ContractedCosts(target, surrogate, ring, 3, 1)
    x, cells, one = np.random.default_rng(2).normal(0, 0.5, (1, BEADS, 1, 3)), np.zeros((1, 3, 3)), np.zeros(1, int)
    values, step = costs.label(one, x, cells), 1e-6
    for s in range(BEADS):
        moved = x.copy()
        moved[0, s, 0, 1] += step
        change = costs.label(one, moved, cells).energies.mean() - values.energies.mean()
        assert -BEADS * change / step == pytest.approx(values.forces[s, 0, 1], rel=1e-4, abs=1e-5)


def test_another_surrogate_makes_contracted_energies_unknown(ring, formula_target, formula_surrogate):
    """They rest on it; without one, first principles label the full ring."""
    target = formula_target(harmonic(STIFFNESS), [MASS_AMU])
    keys = {"ensemble": {"temperature_K": TEMPERATURE_K}, "beads": BEADS, "contraction": 3, "contraction_exact": False}
    sampler = sl_pihmc_mix.build(sl_pihmc_mix.Settings.model_validate(keys), ring, target)
    state = sampler.init(np.random.default_rng(7).normal(0, 0.05, (1, BEADS, 1, 3)))
    paid = []
    for number, (digest, soft) in enumerate([("a", 0.9), ("a", 0.9), ("b", 0.8), ("b", 0.8), ("", 0)], start=1):
        surrogate = formula_surrogate(harmonic(soft * STIFFNESS)) if digest else None
        plan = Plan(Phase.ADAPT, 0, 0 if digest else -1, digest, 1.0, 4.0)
        state, [info] = sampler.step(state, surrogate, plan, step_rng(1, "test", number))
        paid.append(info.engine_calls - (0 if digest else BEADS * info.md_steps))
        here = state.energies.mean()
        exact = 0.5 * STIFFNESS * np.mean(np.sum(state.positions**2, axis=(2, 3)))
        if not digest:
            assert here == pytest.approx(exact, rel=1e-12)
        else:
            t = contract(contraction_matrix(BEADS, 3), state.positions)
            wrong = 0.5 * STIFFNESS * (1 - soft) * np.mean(np.sum(t**2, axis=(2, 3)))
            assert here == pytest.approx(soft * exact + wrong, rel=1e-9)
    assert paid == [6, 3, 6, 3, 4]
