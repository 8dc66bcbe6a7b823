"""The benchmark of path-integral steps: it runs without peers, and its forces and moves are what it says."""

import numpy as np

from benchmarks import path_integral
from kernels.ring_polymer import ring_polymer


def test_it_runs_without_peers_and_says_so(quickly):
    text, told = quickly("path_integral")
    assert sum("peers are absent" in line for line in text.splitlines()) == 1
    assert (told["beads"], told["atoms"], told["ipi"]) == (4, 12, {})
    assert {name.split(",")[0] for name in told["ours_ms"]} == {"NVE", "NVT"}
    assert all(ms > 0 for ms in told["ours_ms"].values())


def test_a_peer_that_cannot_run_is_told_in_one_line(quickly, tmp_path):
    text, told = quickly("path_integral", "--peers", str(tmp_path / "python"))
    assert "not timed: ipi_step" in text
    assert "failed" in told["ipi"]


def test_the_harmonic_provider_is_conservative():
    positions, step = np.random.default_rng(1).normal(size=(1, 2, 3, 3)), 1e-5
    forces = path_integral.providers(positions.shape)["harmonic"]
    ahead, behind = positions.copy(), positions.copy()
    ahead[0, 1, 2, 0] += step
    behind[0, 1, 2, 0] -= step
    slope = (forces(np.zeros(1, int), ahead)[0] - forces(np.zeros(1, int), behind)[0]).sum() / (2 * step)
    np.testing.assert_allclose(forces(np.zeros(1, int), positions)[1][0, 1, 2, 0], -slope, rtol=1e-7)


def test_moves_sample_the_harmonic_ring(monkeypatch):
    """Bead average of the potential: exact for a ring in a well, the sum over modes of kT/2 times well / (well + springs)."""
    monkeypatch.setattr(path_integral, "TIMESTEP_FS", 150.0)  # far too long: without the right decision the mean is wrong
    ring = ring_polymer(np.full(3, 12.0), path_integral.TEMPERATURE_K, 4, path_integral.WAVENUMBER_PER_CM)
    positions, generator = np.zeros((1, 4, 3, 3)), np.random.default_rng(4)
    forces = path_integral.providers(positions.shape)["harmonic"]
    found = []
    for _ in range(3000):
        positions = path_integral.move(ring, positions, forces, generator, int(generator.integers(1, 4)))
        found.append(forces(np.zeros(1, int), positions)[0].mean())
    stiffness = path_integral.STIFFNESS_EV_PER_A2 / 4
    exact = np.sum(1.5 / ring.beta * stiffness / (stiffness + ring.springs))
    blocks = np.array(found).reshape(30, -1).mean(axis=1)
    assert abs(blocks.mean() - exact) < 4.5 * blocks.std() / np.sqrt(30)
    assert blocks.std() / np.sqrt(30) < 0.1 * exact
