import numpy as np
import pytest

from kernels.ring_polymer import ring_polymer
from kernels.units import AMU_EV_FS2_PER_A2, WAVENUMBER_RAD_PER_FS
from protocol.errors import EngineFailed
from protocol.records import Structure
from sim_daemon import startup
from sim_daemon.ensembles import Npt
from sim_daemon.moves.cell import barostat_of
from sim_daemon.system import System
from sim_daemon.target import TargetValues

MASSES = np.array([1.00794, 15.999])
BOND, STIFFNESS = 0.96, 40.0  # A, eV/A^2


class Dimer:
    """Two atoms on a spring; `refuse` makes the engine refuse everything."""

    def __init__(self, refuse=False):
        structure = Structure(np.array([[0.0, 0, 0], [1.1, 0, 0]]), np.array([1, 8]), np.zeros((3, 3)), np.zeros(3, bool))
        self.system = System(structure.numbers, MASSES, structure, 0, 1, None, False)
        self.refuse, self.paid = refuse, 0

    def __call__(self, positions, cells=None):
        apart = positions[:, 1] - positions[:, 0]
        length = np.linalg.norm(apart, axis=1)
        pull = (STIFFNESS * (length - BOND) / length)[:, None] * apart
        forces = np.stack([pull, -pull], axis=1)
        count = len(positions)
        self.paid += count
        reason = ("engine_failure: no",) * count if self.refuse else (None,) * count
        return TargetValues(
            positions,
            0.5 * STIFFNESS * (length - BOND) ** 2,
            forces,
            (None,) * count,
            reason,
            np.ones(count, int),
            np.zeros(count, int),
        )


def test_relax_hessian_and_frequency_of_a_dimer():
    target, seen = Dimer(), []
    minimum = startup.relax(target, target.system.structure.positions, seen.append)
    assert np.linalg.norm(minimum[1] - minimum[0]) == pytest.approx(BOND, abs=1e-3)
    assert sum(len(v.labels) for v in seen) == target.paid  # every label is handed on
    matrix, values = startup.hessian(target, minimum)
    assert len(values.labels) == 12
    masses = MASSES * AMU_EV_FS2_PER_A2
    modes = startup.harmonic_modes(matrix, minimum, masses, periodic=False)
    stretch = np.sqrt(STIFFNESS * (1 / masses[0] + 1 / masses[1]))
    assert modes.frequencies.max() == pytest.approx(stretch, rel=1e-3)


def test_harmonic_rings_have_the_finite_bead_variance():
    """One atom in a well of 3000 cm^-1: docs/methods.md, P = 8."""
    ring = ring_polymer(np.array([1.00794]), 300.0, 8, 3000)
    frequency = 3000 * WAVENUMBER_RAD_PER_FS
    modes = startup.Harmonic(np.zeros((1, 3)), np.full(3, frequency), np.eye(3).reshape(3, 1, 3) / np.sqrt(ring.masses[0]))
    generator = np.random.default_rng(1)
    draws = np.array([startup.harmonic_ring(ring, modes, generator) for _ in range(6000)])
    per_ring = (draws**2).mean(axis=(1, 2, 3))
    z = (per_ring.mean() - 0.00414541913) / (per_ring.std() / np.sqrt(len(per_ring)))
    assert abs(z) < 4.5


def test_structures_have_quantum_widths_about_the_minimum():
    ring = ring_polymer(np.array([1.00794]), 300.0, 8, 3000)
    modes = startup.Harmonic(np.ones((1, 3)), np.full(3, 0.5651), np.eye(3).reshape(3, 1, 3) / np.sqrt(ring.masses[0]))
    drawn = np.concatenate(list(startup.harmonic_structures(ring, modes, np.random.default_rng(1))))
    assert len(drawn) >= startup.STRUCTURES
    assert np.var(drawn - 1) == pytest.approx(0.00557 * np.mean(np.linspace(0.6, 1.3, 100) ** 2), rel=0.25)


def test_prepare_by_kind():
    target, seen = Dimer(), []
    ring = ring_polymer(MASSES, 300.0, 4, 3000)

    def rng(purpose, walker):
        return np.random.default_rng([walker, len(purpose)])

    floppy = startup.prepare("trajectories", ring, target, 2, rng, seen.append)
    assert floppy.shape == (2, 4, 2, 3)
    assert not seen
    np.testing.assert_allclose(floppy.mean(axis=1)[0], target.system.structure.positions, atol=1e-12)
    stiff = startup.prepare("harmonic", ring, target, 2, rng, seen.append)
    assert stiff.shape == (2, 4, 2, 3)
    assert seen
    assert not np.array_equal(stiff[0], stiff[1])


def test_an_engine_that_refuses_the_path_is_told_in_one_sentence():
    with pytest.raises(EngineFailed, match="relaxing"):
        startup.relax(Dimer(refuse=True), np.array([[0.0, 0, 0], [1.1, 0, 0]]), lambda values: None)


def test_structures_are_strained_where_the_cell_will_vary():
    structure = Structure(np.zeros((2, 3)), np.ones(2, int), 5.0 * np.eye(3), np.ones(3, bool))
    barostat = barostat_of(Npt(name="npt", temperature_K=300, pressure_GPa=1.0, cell="orthorhombic"), structure)
    found = np.random.default_rng(1).normal(size=(40, 2, 3))
    moved, cells = startup.in_strained_cells(found, structure.cell, barostat, np.random.default_rng(2))
    np.testing.assert_allclose(moved @ np.linalg.inv(cells), found @ np.linalg.inv(structure.cell))
    assert np.log(np.linalg.det(cells)).std() == pytest.approx(startup.STARTUP_STRAIN, rel=0.4)
    kept, same = startup.in_strained_cells(found, structure.cell, None, np.random.default_rng(2))
    assert kept is found
    assert (same == structure.cell).all()
