"""The timed loop: what cannot be timed is an error, and velocities have their temperature."""

import numpy as np
import pytest
from ase.data import atomic_masses

from benchmarks.dynamics_loop import TEMPERATURE_K, Workload, ms_per_step, no_forces, velocities
from benchmarks.kernel import alloy
from kernels.units import AMU_EV_FS2_PER_A2, KB_EV_PER_K

CASE = alloy("box", (6, 6, 6), 2.6)


def test_velocities_have_the_temperature():
    energy = 0.5 * np.sum(atomic_masses[CASE.numbers][:, None] * AMU_EV_FS2_PER_A2 * velocities(CASE) ** 2)
    assert energy / (1.5 * len(CASE.numbers) * KB_EV_PER_K) == pytest.approx(TEMPERATURE_K, rel=0.15)


def test_all_steps_are_taken():
    asked = []

    def forces(walkers, positions):
        asked.append(positions.shape)
        return no_forces(walkers, positions)

    assert ms_per_step(Workload(CASE, CASE, 3, 1.0, 7), forces) > 0
    assert asked == [(1, 3, 216, 3)] * (1 + 2 + 1 + 7)  # two steps to warm up


def test_a_trapped_trajectory_is_no_figure():
    with pytest.raises(ArithmeticError, match="box: the trajectory met an absurd force"):
        ms_per_step(Workload(CASE, CASE, 1, 1.0, 3), lambda _, x: (np.zeros(x.shape[:2]), np.full(x.shape, 1e4)))
