import numpy as np

from kernels.potentials.harmonic import build


def test_energy_and_force_by_hand():
    potential = build({"k_eV_per_A2": 2.0, "centres": [[0, 0, 0], [1, 0, 0]]})
    positions = np.array([[[0.5, 0, 0], [1, 2, 0]], [[0, 0, 0], [1, 0, 0]]])
    result = potential.evaluate(positions, np.array([1, 1]), np.zeros((3, 3)), np.zeros(3, bool))
    assert np.allclose(result.energy, [0.25 + 4, 0])
    assert np.allclose(result.forces[0], [[-1, 0, 0], [0, -4, 0]])
    assert result.stress is None


def test_bits_do_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    potential = build({"k_eV_per_A2": 0.3, "centres": rng.normal(size=(13, 3))})
    positions, rest = rng.normal(size=(5, 13, 3)), (np.ones(13), np.zeros((3, 3)), np.zeros(3, bool))
    together = potential.evaluate(positions, *rest)
    for b in range(5):
        alone = potential.evaluate(positions[b : b + 1], *rest)
        assert together.energy[b] == alone.energy[0]
        assert np.array_equal(together.forces[b], alone.forces[0])
