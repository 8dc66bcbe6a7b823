"""Thermostatted dynamics: the averages of its own time step, which differ from the exact ones by the square of the step.

z from 40 independent walkers; the alarm |z| > 5.5 rings by chance 2e-6 each.
"""

import math

import numpy as np
import pytest

from kernels.random_numbers import step_rng
from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS
from protocol.records import Phase
from sim_daemon.moves import dynamics
from sim_daemon.samplers import pimd
from sim_daemon.samplers.base import Plan

MASS_AMU, TEMPERATURE_K = 1.00794, 300.0
STIFFNESS = MASS_AMU * AMU_EV_FS2_PER_A2 * (3000 * WAVENUMBER_RAD_PER_FS) ** 2  # eV/A^2
ALARM = 5.5
GOLDEN = {1: 0.000774956111, 4: 0.00270930153}  # docs/methods.md: <x^2> / A^2
WALKERS, BURN, STEPS = 40, 10, 80


def well(x):
    return 0.5 * STIFFNESS * np.sum(x**2, axis=(1, 2)), -STIFFNESS * x


def square_of_step(ring, timestep_fs):
    """<x^2> of the harmonic oscillator under OBABO: the quadratic form that its middle keeps, with the thermostat's momenta."""
    total = 0.0
    for mass, frequency in zip(ring.mode_masses[:, 0], ring.frequencies[:, 0], strict=True):
        stiffness, phase = STIFFNESS / ring.beads, frequency * timestep_fs
        drift = timestep_fs / mass if frequency == 0 else math.sin(phase) / (mass * frequency)
        stay = math.cos(phase) - 0.5 * timestep_fs * stiffness * drift
        total += drift**2 / (1 - stay**2) * mass / ring.beta
    return total / ring.beads


def sampled(formula_target, beads, timestep_fs):
    """<x^2> of each walker (W,), and what the steps told."""
    target = formula_target(well, [MASS_AMU])
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, beads, 3000)
    keys = {"ensemble": {"temperature_K": TEMPERATURE_K}, "beads": beads, "centroid_friction_per_fs": 0.3}
    sampler = pimd.build(pimd.Settings.model_validate(keys), ring, target)
    state = sampler.init(np.random.default_rng(3).normal(0, 0.03, (WALKERS, beads, 1, 3)))
    plan, squares, told = Plan(Phase.PRODUCTION, 1, -1, "", timestep_fs, 8.0), [], []
    for number in range(BURN + STEPS):
        state, infos = sampler.step(state, None, plan, step_rng(7, "test", number))
        if number >= BURN:
            squares.append(np.mean(state.positions**2, axis=(1, 2, 3)))
            told += infos
    return ring, np.mean(squares, axis=0), told


def z_of(walkers, answer):
    return (walkers.mean() - answer) / (walkers.std(ddof=1) / np.sqrt(len(walkers)))


@pytest.mark.parametrize(("beads", "timestep_fs"), [(1, 1.0), (1, 2.0), (4, 2.0)])
def test_it_has_the_averages_of_its_time_step(beads, timestep_fs, formula_target):
    ring, squares, told = sampled(formula_target, beads, timestep_fs)
    assert abs(z_of(squares, square_of_step(ring, timestep_fs))) < ALARM
    if timestep_fs == 2.0:
        assert abs(z_of(squares, GOLDEN[beads])) > 10  # not the exact ones
    errors = [square_of_step(ring, dt) / GOLDEN[beads] - 1 for dt in (0.05, 0.1)]
    assert errors[1] / errors[0] == pytest.approx(4, rel=0.02)
    assert {info.outcome for info in told} == {"dynamics"}
    assert {info.engine_calls for info in told} == {beads * round(8 / timestep_fs)}
    assert all(np.isnan(info.log_ratio) and info.accepted for info in told)


def test_the_alarm_rings_for_a_thermostat_that_draws_too_little(monkeypatch, formula_target):
    monkeypatch.setattr(dynamics, "refresh", lambda ring, p, kept, rng: kept * p + (1 - kept) * ring.draw_momenta(rng))
    ring, squares, _ = sampled(formula_target, 1, 1.0)
    assert abs(z_of(squares, square_of_step(ring, 1.0))) > 10


def test_a_walker_that_meets_an_absurd_force_goes_back_with_its_momenta_reversed(formula_target):
    def cliff(x):
        energy, forces = well(x)
        return energy, np.where(np.abs(x) > 0.05, 1e6, forces)

    target = formula_target(cliff, [MASS_AMU])
    ring = ring_polymer(target.system.masses_amu, TEMPERATURE_K, 1, 3000)
    sampler = pimd.build(pimd.Settings.model_validate({"ensemble": {"temperature_K": 300}, "beads": 1}), ring, target)
    first = sampler.init(np.full((3, 1, 1, 3), 0.01))
    plan, lost = Plan(Phase.PRODUCTION, 1, -1, "", 1.0, 8.0), 0
    state = first
    for number in range(30):
        before = state
        state, infos = sampler.step(state, None, plan, step_rng(1, "test", number))
        for w, info in enumerate(infos):
            if not info.accepted:
                lost += 1
                np.testing.assert_array_equal(state.positions[w], before.positions[w])
                if before.momenta is not None:
                    np.testing.assert_array_equal(state.momenta[w], -before.momenta[w])
    assert lost > 0
