"""Exchange of rings between temperatures against known answers at finite P, on the real samplers.

z from independent copies of the ladder, 24 or 40 of them; the alarm |z| > 5.5 rings by chance 2e-6 each.
"""

import numpy as np
import pytest

from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_ladder, ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase
from sim_daemon.assemble import make_ring
from sim_daemon.moves import exchange, ring_move
from sim_daemon.moves.exchange import Deal
from sim_daemon.samplers import base
from sim_daemon.samplers.base import Plan

MASS_AMU = 1.00794
OMEGA = 3000 * WAVENUMBER_RAD_PER_FS
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * OMEGA**2  # eV/A^2
ALARM = 5.5
# docs/methods.md at 300 K: E_P / eV, <x^2> / A^2, rg^2 / A^2 of one component
GOLDEN = {1: (0.0258519998, 0.000774956111, 0.0), 4: (0.0903804249, 0.00270930153, 0.00193434542)}
GOLDEN[16] = (0.169620337, 0.00508464792, 0.00430969181)
RUNGS_K = (300.0, 450.0)


def harmonic(stiffness):
    return lambda x: (0.5 * stiffness * np.sum(x**2, axis=(1, 2)), -stiffness * x)


def answers(beads, kelvin):
    """E_P / eV, <x^2> / A^2 and rg^2 / A^2 of three components, one and one, from the sum over modes."""
    beta = 1 / (KB_EV_PER_K * kelvin)
    ring = 2 * beads / (beta * HBAR_EV_FS) * np.sin(np.pi * np.arange(beads) / beads)
    terms = 1 / (beta * MASS_AMU * AMU_EV_FS2_PER_A2 * (ring**2 + OMEGA**2))
    return 3 * STIFFNESS * terms.sum(), terms.sum(), terms[1:].sum()


def climb(target, surrogate, changes, copies, steps, seed, first, plan, burn=15):
    """Positions (steps, W, P, N, 3) and the rows of every step of a sampler on a ladder."""
    rungs = len(changes["ladder"]["temperatures_K"])
    settings = {"ensemble": {"temperature_K": changes["ladder"]["temperatures_K"][0]}, "walkers": copies * rungs, **changes}
    module = base.load(settings["name"])
    chosen = module.Settings.model_validate(settings)
    sampler = module.build(chosen, make_ring(chosen, target.system), target)
    state, positions, infos = sampler.init(first), [], []
    for number in range(1, steps + burn + 1):
        state, told = sampler.step(state, surrogate, plan, step_rng(seed, "test", number))
        if number > burn:
            positions.append(state.positions)
            infos.append(told)
    return np.array(positions), infos


def oscillators(formula_target, formula_surrogate, beads, changes, copies=40, steps=50):
    """z of E virial, E primitive, <x^2>, rg^2 by rung, and the share of accepted exchanges."""
    target, surrogate = formula_target(harmonic(STIFFNESS), [MASS_AMU]), formula_surrogate(harmonic(1.2 * STIFFNESS))
    first = np.random.default_rng(beads).normal(0, 0.02, (copies * len(RUNGS_K), beads, 1, 3))
    changes = {"beads": beads, **changes, "ladder": {"temperatures_K": RUNGS_K, **changes.get("ladder", {})}}
    driven = surrogate if changes["name"] == "sl_pihmc" else None
    plan = Plan(Phase.PRODUCTION, 1, 0 if driven else -1, "", 1.0, 2.0)  # short: what an exchange brings is not forgotten at once
    x, infos = climb(target, driven, changes, copies, steps, beads, first, plan)
    away = x - x.mean(axis=2, keepdims=True)
    seen = np.stack([np.mean(x**2, axis=(2, 3, 4)), np.mean(away**2, axis=(2, 3, 4))], axis=-1).mean(axis=0)
    names = ("energy_virial_eV", "energy_primitive_eV")
    energies = np.mean([[[info.observables[name] for name in names] for info in told] for told in infos], axis=0)
    z = []
    for rung, kelvin in enumerate(RUNGS_K):
        means = np.concatenate([energies, seen], axis=1)[rung :: len(RUNGS_K)]
        error = means.std(axis=0, ddof=1) / np.sqrt(copies)
        energy, *widths = answers(beads, kelvin)
        z.append((means.mean(axis=0) - (energy, energy, *widths)) / np.where(error > 0, error, 1e-12))
        assert {told[rung].temperature_K for told in infos} == {kelvin}
    swaps = [info.swap.accepted for told in infos for info in told if info.swap]
    assert len(swaps) == copies * steps
    return np.array(z)[:, : 4 if beads > 1 else 3], np.mean(swaps), infos


@pytest.mark.parametrize("beads", GOLDEN)
def test_the_answers_are_the_golden_numbers(beads):
    energy, square, gyration = GOLDEN[beads]
    np.testing.assert_allclose(answers(beads, 300.0), (3 * energy, square, gyration), rtol=1e-8)


@pytest.mark.parametrize(
    ("beads", "changes"),
    [
        (1, {"name": "sl_pihmc"}),
        (4, {"name": "pihmc", "ladder": {"rings": "scaled"}}),
        (16, {"name": "sl_pihmc"}),
        (16, {"name": "sl_pihmc", "ladder": {"rings": "scaled"}}),
    ],
    ids=str,
)
def test_two_rungs_keep_their_own_ensembles(beads, changes, formula_target, formula_surrogate):
    z, share, _ = oscillators(formula_target, formula_surrogate, beads, changes)
    assert np.abs(z).max() < ALARM, z
    assert 0.15 < share < 0.97


def test_the_alarm_rings_without_the_springs(formula_target, formula_surrogate, monkeypatch):
    """The mutation that the test above must catch: exchange by the potential alone."""
    exact = exchange.log_ratios

    def springless(ring, positions, energies, deal, dealt_energies):
        still = Deal(deal.walkers, deal.partners, positions[deal.walkers])
        return exact(ring, positions, energies, still, dealt_energies)

    monkeypatch.setattr(exchange, "log_ratios", springless)
    z, _, _ = oscillators(formula_target, formula_surrogate, 16, {"name": "sl_pihmc"})
    assert np.abs(z).max() > 10, z


@pytest.mark.parametrize("scaled", [False, True])
def test_an_exchange_as_a_transition_matrix(scaled):
    """All exchanges between five rings of two beads each: the product of the two ensembles is stationary to rounding."""
    ring = ring_ladder([ring_polymer(np.array([MASS_AMU]), kelvin, 2, 3000) for kelvin in RUNGS_K])
    shapes = np.random.default_rng(3).normal(0, 0.05, (5, 2, 1, 3))
    centroids = shapes.mean(axis=1, keepdims=True)
    factor = np.sqrt(ring.of(1).beta / ring.of(0).beta) if scaled else 1.0
    places = np.array(
        [shapes, centroids + factor * (shapes - centroids)]
    )  # of the two walkers: an exchange maps one on the other

    def potential(x):
        return harmonic(0.4 * STIFFNESS)(x.reshape(-1, 1, 3))[0].reshape(x.shape[:-2]) + 0.05 * np.sin(40 * x[..., 0, 0])

    weights = []
    for w in range(2):
        springs = np.array([ring.of(w).spring_energy(ring.to_modes(x)) for x in places[w]])
        weight = np.exp(-ring.of(w).beta * (springs + potential(places[w]).mean(axis=1)))
        weights.append(weight / weight.sum())
    product = np.outer(*weights).ravel()

    def matrix(springs):
        moves = np.zeros((25, 25))
        for i, j in np.ndindex(5, 5):
            now, then = np.array([places[0, i], places[1, j]]), np.array([places[0, j], places[1, i]])
            deal = Deal(np.arange(2), np.array([1, 0]), then if springs else now)
            ratio = exchange.log_ratios(ring, now, potential(now), deal, potential(then))[0]
            moves[5 * i + j, 5 * j + i] += min(1.0, np.exp(ratio))
            moves[5 * i + j, 5 * i + j] += 1 - min(1.0, np.exp(ratio))
        return moves

    np.testing.assert_allclose(product @ matrix(True), product, atol=1e-15)
    np.testing.assert_allclose(product[:, None] * matrix(True), (product[:, None] * matrix(True)).T, atol=1e-15)
    off = np.abs(product @ matrix(False) - product).max()
    assert (off < 1e-14) if scaled else (off > 1e-3)  # scaled rings need no spring term: it is zero


def double_well(x):
    """A barrier of 0.5 eV, 19 kT at 300 K, between minima at x = -1 and 1 A."""
    height, away = 0.5, x[..., 0] ** 2 - 1
    energy = np.sum(height * away**2 + 2.0 * (x[..., 1] ** 2 + x[..., 2] ** 2), axis=1)
    return energy, -np.stack([4 * height * away * x[..., 0], 4.0 * x[..., 1], 4.0 * x[..., 2]], axis=-1)


def test_a_ladder_crosses_what_one_temperature_never_does(formula_target, monkeypatch):
    monkeypatch.setattr(ring_move, "observe", lambda *_: {})
    rungs, copies = (300.0, 750.0, 1900.0, 4800.0), 24
    target, plan = formula_target(double_well, [12.0]), Plan(Phase.PRODUCTION, 1, -1, "", 10.0, 60.0)
    start = np.zeros((copies * len(rungs), 1, 1, 3)) - np.array([1.0, 0, 0])
    changes = {"name": "pihmc", "beads": 1, "ladder": {"temperatures_K": rungs}}
    x, infos = climb(target, None, changes, copies, 70, 5, start, plan, burn=40)
    right = (x[:, :: len(rungs), 0, 0, 0] > 0).mean(axis=0)
    assert abs(right.mean() - 0.5) / (right.std(ddof=1) / np.sqrt(copies)) < ALARM
    assert (np.abs(np.diff(np.sign(x[:, :: len(rungs), 0, 0, 0]), axis=0)).sum(axis=0) > 0).mean() > 0.9  # it changes sides
    alone = base.load("pihmc").Settings.model_validate({"ensemble": {"temperature_K": 300}, "beads": 1, "walkers": copies})
    sampler = base.load("pihmc").build(alone, make_ring(alone, target.system), target)
    state = sampler.init(start[:copies])
    for number in range(1, 41):
        state, _ = sampler.step(state, None, plan, step_rng(5, "test", number))
        assert (state.positions[..., 0] < 0).all()
    assert {told[0].replica for told in infos} == set(range(len(rungs)))  # every ring has been at the lowest rung of its ladder
