"""Both forms of the pressure are derivatives of the ring's energy: of strains of centroids, and of all beads."""

import numpy as np
import pytest

from kernels import pressure
from kernels.units import AMU_EV_FS2_PER_A2, HBAR_EV_FS, KB_EV_PER_K

KELVIN, MASSES = 300.0, np.array([1.008, 16.0, 4.0])
CELL = np.array([[5.0, 0.0, 0.0], [1.0, 5.5, 0.0], [0.3, -0.7, 6.0]])


def pairs(positions, cell):
    """Springs between atoms and to one image of each: energies (P,), forces (P, N, 3), stresses (P, 3, 3)."""
    energy, forces, stress = np.zeros(len(positions)), np.zeros_like(positions), np.zeros((len(positions), 3, 3))
    for i in range(3):
        for j in range(3):
            shift = cell[(i + j) % 3] if i >= j else np.zeros(3)
            vector = positions[:, j] + shift - positions[:, i]
            energy += 0.15 * (vector**2).sum(axis=1) ** 2 / 10
            push = 0.06 * (vector**2).sum(axis=1)[:, None] * vector
            forces[:, i] += push
            forces[:, j] -= push
            stress += push[:, :, None] * vector[:, None, :]
    return energy, forces, stress / np.linalg.det(cell)


def strained(x, strain, centroids_only):
    cell = CELL @ (np.eye(3) + strain)
    centre = x.mean(axis=0)
    moved = x + (centre @ strain)[None] if centroids_only else x @ (np.eye(3) + strain)
    return pairs(moved, cell)[0].mean(), moved


def springs(x):
    stiffness = MASSES * AMU_EV_FS2_PER_A2 * len(x) * (KB_EV_PER_K * KELVIN / HBAR_EV_FS) ** 2
    return 0.5 * float((stiffness[:, None] * (np.roll(x, -1, axis=0) - x) ** 2).sum())


@pytest.mark.parametrize("form", ["virial", "primitive"])
def test_derivatives(form):
    x = np.random.default_rng(2).uniform(0, 5, (1, 3, 3)) + 0.2 * np.random.default_rng(3).standard_normal((4, 3, 3))
    _, forces, stresses = pairs(x, CELL)
    volume = np.array(np.linalg.det(CELL))
    if form == "virial":
        found, particles = pressure.pressure_virial(x, forces, stresses, volume, KELVIN), 3
    else:
        found, particles = pressure.pressure_primitive(x, stresses, volume, MASSES, KELVIN), 3 * len(x)
    for a, b in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)]:
        slopes = []
        for step in (1e-5, -1e-5):
            strain = np.zeros((3, 3))
            strain[a, b] += step / 2
            strain[b, a] += step / 2
            energy, moved = strained(x, strain, form == "virial")
            slopes.append(energy + (springs(moved) if form == "primitive" else 0.0))
        want = particles * KB_EV_PER_K * KELVIN * (a == b) - (slopes[0] - slopes[1]) / 2e-5
        assert found[a, b] * volume == pytest.approx(want, rel=1e-6, abs=1e-7)


def test_free_rings_have_the_pressure_of_an_ideal_gas():
    """Both on average; the virial form exactly."""
    rng = np.random.default_rng(5)
    beads, states = 4, 4000
    k = np.arange(beads)
    omega = 2 * beads * KB_EV_PER_K * KELVIN / HBAR_EV_FS * np.sin(np.pi * k / beads)
    stiffness = np.outer(omega**2, MASSES * AMU_EV_FS2_PER_A2 / beads)
    width = np.sqrt(np.divide(KB_EV_PER_K * KELVIN, stiffness, where=stiffness > 0, out=np.zeros_like(stiffness)))
    from kernels.ring_polymer import mode_matrix

    modes = rng.standard_normal((states, beads, 3, 3)) * width[..., None]
    x = np.einsum("kp,tkna->tpna", mode_matrix(beads), modes)
    nothing = np.zeros((states, beads, 3, 3))
    volume = np.full(states, 200.0)
    ideal = 3 * KB_EV_PER_K * KELVIN / 200.0
    np.testing.assert_allclose(
        pressure.pressure_virial(x, np.zeros_like(x), nothing, volume, KELVIN), ideal * np.eye(3) + nothing[:, 0]
    )
    found = pressure.pressure_primitive(x, nothing, volume, MASSES, KELVIN)
    error = found.std(axis=0) / np.sqrt(states)
    assert (np.abs(found.mean(axis=0) - ideal * np.eye(3)) < 4.5 * error).all()
    assert (np.diag(error) < 0.1 * ideal).all()
