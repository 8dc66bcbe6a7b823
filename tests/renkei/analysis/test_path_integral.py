"""Ring polymers: centroid, radius of gyration, two estimators."""

import numpy as np
import pytest

from kernels.ring_polymer import estimators, ring_polymer, squared_radius_of_gyration
from renkei.analysis import path_integral
from renkei.analysis.ledger import steps_of


def test_two_beads_apart():
    ring = np.zeros((2, 1, 3))
    ring[1, 0] = [0.0, 0.6, 0.8]
    np.testing.assert_allclose(path_integral.centroids(ring), [[0.0, 0.3, 0.4]])
    assert path_integral.radii_of_gyration(ring, np.array([1]))["H"] == pytest.approx(0.5)


def test_elements_apart_and_equal_to_the_sampler_s_kernel():
    positions = np.random.default_rng(2).standard_normal((3, 2, 4, 3, 3))
    numbers = np.array([8, 1, 1])
    found = path_integral.radii_of_gyration(positions, numbers)
    assert set(found) == {"H", "O"}
    assert found["H"].shape == (3, 2)
    kernel = squared_radius_of_gyration(positions[1, 1])
    assert found["H"][1, 1] == pytest.approx(np.sqrt(kernel[1:].mean()))


def test_energy_difference_is_paired():
    rows = [
        {"event": "step", "step": s, "walker": 0, "phase": "adapt", "block": 0, "generation": 0, "accepted": True}
        | {"observables": {"energy_primitive_eV": 10.0 * s + 0.5, "energy_virial_eV": 10.0 * s}}
        for s in range(4)
    ]
    np.testing.assert_allclose(path_integral.energy_difference(steps_of(rows)), 0.5)
    assert path_integral.energy_difference(steps_of([])) is None


@pytest.mark.parametrize("beads", [1, 2, 5])
def test_kinetic_energies_are_those_of_the_sampler_s_kernel(beads):
    rng = np.random.default_rng(4)
    masses, numbers = np.array([16.0, 1.0, 2.0]), np.array([8, 1, 1])
    positions, forces = 0.1 * rng.standard_normal((2, 3, beads, 3, 3)), rng.standard_normal((2, 3, beads, 3, 3))
    primitive = path_integral.kinetic_primitive(positions, masses, 300.0)
    virial = path_integral.kinetic_virial(positions, forces, 300.0)
    assert primitive.shape == virial.shape == (2, 3, 3)
    ring = ring_polymer(masses, 300.0, beads, 3000.0)
    kernel = estimators(ring, positions[1, 2], np.full(beads, 7.0), forces[1, 2])
    assert primitive[1, 2].sum() + 7.0 == pytest.approx(kernel.primitive)
    assert virial[1, 2].sum() == pytest.approx(kernel.kinetic_virial)
    found = path_integral.by_element(virial, numbers)
    np.testing.assert_allclose(found["H"], virial[..., 1] + virial[..., 2])
    np.testing.assert_allclose(found["O"], virial[..., 0])
