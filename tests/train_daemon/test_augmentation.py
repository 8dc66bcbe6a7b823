"""Displaced copies: exact for a linear potential, off by half the curvature's term for a harmonic one."""

import numpy as np
import pytest

from protocol.records import Structure
from train_daemon.augmentation import Augmentation, displaced
from train_daemon.dataset import Sample

SETTINGS = Augmentation(displacement_A=0.02, weight=0.2)
FREE = (np.array([8, 1, 1]), np.zeros((3, 3)), np.zeros(3, dtype=bool))


def labelled(energy, forces, count=40):
    rng, made = np.random.default_rng(1), []
    for k in range(count):
        x = rng.standard_normal((3, 3))
        made.append(Sample(str(k).encode(), Structure(x, *FREE), energy(x), forces(x), 0.5))
    return made


def test_a_linear_potential_has_no_error():
    slope = np.random.default_rng(2).standard_normal((3, 3))
    samples = labelled(lambda x: float(np.sum(slope * x)), lambda x: -slope)
    for sample, copy in zip(samples, displaced(samples, SETTINGS), strict=True):
        assert copy.energy == pytest.approx(np.sum(slope * copy.structure.positions), rel=1e-12)
        assert copy.key != sample.key
        assert copy.weight == pytest.approx(0.1)
        assert not copy.forces.any()


def test_a_spring_is_off_by_half_its_constant_times_the_square_and_always_too_low():
    k = 50.0
    samples = labelled(lambda x: float(0.5 * k * np.sum(x**2)), lambda x: -k * x)
    for sample, copy in zip(samples, displaced(samples, SETTINGS), strict=True):
        move = copy.structure.positions - sample.structure.positions
        true = 0.5 * k * np.sum(copy.structure.positions**2)
        assert true - copy.energy == pytest.approx(0.5 * k * np.sum(move**2), rel=1e-9)


def test_displacements_are_isotropic_and_depend_on_the_structure_alone():
    samples = labelled(lambda x: 0.0, np.zeros_like, count=2000)
    copies = displaced(samples, SETTINGS)
    moves = np.array([c.structure.positions - s.structure.positions for s, c in zip(samples, copies, strict=True)]).reshape(-1, 3)
    covariance = moves.T @ moves / len(moves) / 0.02**2
    np.testing.assert_allclose(covariance, np.eye(3), atol=4.5 * np.sqrt(2 / len(moves)))
    again = displaced(samples[7:9], SETTINGS)
    np.testing.assert_array_equal(again[0].structure.positions, copies[7].structure.positions)


def test_large_displacements_and_weights_are_refused():
    for wrong in ({"displacement_A": 0.1}, {"displacement_A": 0.01, "weight": 1.0}, {"displacement_A": 0.0}):
        with pytest.raises(ValueError, match=r"should be (less|greater) than"):
            Augmentation(**wrong)
