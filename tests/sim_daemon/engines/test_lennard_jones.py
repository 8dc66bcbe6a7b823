"""Lennard-Jones by hand."""

import dataclasses

import numpy as np
import pytest


def test_a_pair_at_its_minimum(build, water):
    pair = dataclasses.replace(water, numbers=np.array([10, 10]), positions=np.array([[0.0, 0, 0], [0, 0, 3.0 * 2 ** (1 / 6)]]))
    label = build("lennard_jones", epsilon_eV=0.01, sigma_A=3.0, cutoff_A=1000.0).label(pair)
    assert label.energy == pytest.approx(-0.01)
    assert np.abs(label.forces).max() < 1e-12
    cut = build("lennard_jones", epsilon_eV=0.01, sigma_A=3.0).label(pair)  # shifted at 4 sigma
    assert cut.energy - label.energy == pytest.approx(0.04 * (4.0**-6 - 4.0**-12))


def test_a_crystal_under_pressure_pushes_outwards(build, silicon):
    label = build("lennard_jones", epsilon_eV=0.01, sigma_A=2.6).label(silicon)
    assert np.trace(label.stress) < 0  # tension is positive
