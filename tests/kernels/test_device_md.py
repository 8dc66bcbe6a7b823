"""Dynamics on a device, in Triton's interpreter where there is no GPU: energies and forces of the CPU, and what the skin does."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from kernels.baseline import Baseline
from kernels.descriptors.base import Chebyshev
from kernels.ewald import PointCharges
from kernels.potentials.bpnn import Bpnn, BpnnModel

pytestmark = pytest.mark.needs_triton
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CELL, PBC = np.array([[3.9, 0.3, -0.2], [0.1, 4.1, 0.5], [-0.4, 0.2, 4.3]]), np.array([True, True, False])
NUMBERS, MASSES = np.array([1, 8, 1]), np.array([1.0, 16.0, 1.0])


def model(family="species_resolved", activation="twist", baseline=None):
    descriptor, rng = Chebyshev((1, 8), family, 2, 3.2, 2, 2.5), np.random.default_rng(3)
    sizes = (descriptor.length, 5, 4, 1)
    layers = tuple(
        tuple((0.4 * rng.normal(size=(out, into)), rng.normal(size=out)) for into, out in itertools.pairwise(sizes))
        for _ in descriptor.species
    )
    shape = 2, descriptor.length
    return BpnnModel(
        descriptor, layers, activation, rng.normal(size=shape), rng.uniform(0.5, 1, shape), np.array([-1.0, 3.0]), 0.7, baseline
    )


def places(structures=1):
    grid = np.array([[0.0, 0, 0], [0.5, 0.4, 0], [0.1, 0.5, 0.5]])
    return (grid + np.random.default_rng(1).uniform(-0.05, 0.05, (structures, 3, 3))) @ CELL


@pytest.mark.parametrize(
    ("family", "activation", "walls"),
    [("species_resolved", "twist", True), ("species_weighted", "sigmoid", False), ("species_weighted", "mtanh", False)],
)
def test_energies_and_forces_are_those_of_the_cpu(family, activation, walls):
    from kernels.device_md import DeviceBpnn

    ones = np.ones((2, 2))
    network = model(family, activation, Baseline(0.5 * ones, 0.2 * ones, 3.0) if walls else None)
    positions, want = places(2), Bpnn(network, 0).evaluate(places(2), NUMBERS, CELL, PBC)
    double = DeviceBpnn(network, NUMBERS, CELL, PBC, DEVICE, products=torch.float64)
    double.renew(torch.tensor(places(2) + 0.05, dtype=torch.float64, device=DEVICE))  # a list made elsewhere
    energy, forces = double.evaluate(torch.tensor(positions, device=DEVICE))
    assert np.allclose(energy.cpu(), want.energy, rtol=1e-12, atol=1e-12)
    assert np.allclose(forces.cpu(), want.forces, rtol=0, atol=1e-11)


def test_mixed_precision_is_single_where_it_is_asked_for():
    from kernels.device_md import DeviceBpnn

    network, positions = model(), places()
    want = Bpnn(network, 0).evaluate(positions, NUMBERS, CELL, PBC)
    for geometry in (torch.float64, torch.float32):
        mixed = DeviceBpnn(network, NUMBERS, CELL, PBC, DEVICE, geometry)
        there = torch.tensor(positions, dtype=geometry, device=DEVICE)
        mixed.renew(there)
        energy, forces = mixed.evaluate(there)
        assert (energy.dtype, forces.dtype) == (torch.float64, geometry)
        off = np.abs(forces.cpu().numpy() - want.forces).max() / np.abs(want.forces).max()
        assert 1e-10 < off < 1e-5
        assert np.allclose(energy.cpu(), want.energy, rtol=1e-5)


def dynamics(skin_A, speed=0.03, timestep_fs=0.5, graph=False):
    from kernels.device_md import DeviceBpnn, Dynamics

    velocities = speed * np.random.default_rng(4).normal(size=(1, 3, 3))
    potential = DeviceBpnn(model(), NUMBERS, CELL, PBC, DEVICE, products=torch.float64, skin_A=skin_A)
    return Dynamics(potential, places(), velocities, MASSES, timestep_fs, graph)


def by_the_cpu(steps, speed=0.03, timestep_fs=0.5):
    """Velocity Verlet with forces of the CPU: positions after so many steps."""
    potential, x = Bpnn(model(), 0), places()
    v = speed * np.random.default_rng(4).normal(size=(1, 3, 3))
    kick = 0.5 * timestep_fs / (MASSES * 103.642697)[:, None]
    forces = potential.evaluate(x, NUMBERS, CELL, PBC).forces
    for _ in range(steps):
        v = v + kick * forces
        x = x + timestep_fs * v
        forces = potential.evaluate(x, NUMBERS, CELL, PBC).forces
        v = v + kick * forces
    return x


def test_a_thin_skin_changes_no_step():
    """At this skin steps are undone and repeated, and lists made anew."""
    run = dynamics(0.1)
    made, tried, potential = [], [], run.potential
    renew, evaluate = potential.renew, potential.evaluate
    potential.renew = lambda positions: made.append(1) or renew(positions)
    potential.evaluate = lambda positions: tried.append(1) or evaluate(positions)
    run.run(4)
    assert len(made) >= 1
    assert len(tried) > 4
    assert np.allclose(run.positions.cpu(), by_the_cpu(4), rtol=0, atol=1e-10)


def test_the_energy_is_kept():
    run = dynamics(1.0, timestep_fs=0.2)
    before, potential = float(run.total_eV()), float(run.energy)
    run.run(4)
    assert abs(float(run.total_eV()) - before) < 1e-3 * abs(float(run.energy) - potential)


def test_an_atom_that_leaves_is_told():
    with pytest.raises(ArithmeticError, match="in one step"):
        dynamics(0.1, speed=5.0).run(3)


@pytest.mark.needs_cuda
def test_a_graph_takes_the_same_steps():
    plain, graph = dynamics(0.15), dynamics(0.15, graph=True)
    plain.run(40)
    graph.run(40)
    assert torch.equal(plain.positions, graph.positions)


def test_charges_are_refused():
    from kernels.device_md import DeviceBpnn

    charged = replace(model(), charges=PointCharges(np.array([0.4, -0.8]), 1.0))
    with pytest.raises(ValueError, match="no Coulomb sums"):
        DeviceBpnn(charged, NUMBERS, CELL, PBC, DEVICE)
