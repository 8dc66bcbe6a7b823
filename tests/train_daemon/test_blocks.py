"""Force product and networks: gradients against finite differences, plain torch against compiled loops."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from kernels.descriptors import numba_cpu, products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs
from train_daemon.blocks import CpuMaps, DevicePool, ForceProduct, VirialProduct, network

NUMBERS = np.array([8, 1, 1, 8])
BOX = (np.zeros((3, 3)), np.zeros(3, dtype=bool))
DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 4.0)


@pytest.fixture
def pool():
    return pool_of(DESCRIPTOR)


def pool_of(descriptor):
    rng = np.random.default_rng(5)
    spots, parts = products.layout(descriptor), []
    positions = 2.2 * rng.random((4, 4, 3))
    for one in positions:
        found = pairs(one, *BOX, DESCRIPTOR.radial_cutoff_A)
        near = (found.first, found.second, found.vector, found.distance)
        parts.append(products.geometry(spots, near, kinds(DESCRIPTOR, NUMBERS), np.float64))
    return spots, products.join(parts), positions


def layers_of(rng, sizes):
    def draw(*shape):
        return torch.tensor(rng.standard_normal(shape) / np.sqrt(shape[-1]), requires_grad=True)

    return [(draw(b, a), draw(b)) for a, b in pairwise(sizes)]


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", "mtanh", "twist"])
def test_the_networks_own_gradient_is_that_of_autograd(activation):
    rng = np.random.default_rng(0)
    layers = layers_of(rng, (7, 5, 4, 1))
    inputs = torch.tensor(rng.standard_normal((6, 7)), requires_grad=True)
    energy, gradient = network(layers, activation, inputs)
    want = torch.autograd.grad(energy.sum(), inputs)[0]
    torch.testing.assert_close(gradient, want, rtol=1e-12, atol=1e-12)


def test_a_pool_without_room_on_the_device_gives_the_same(pool):
    spots, geometry, _ = pool
    rng, chosen = np.random.default_rng(3), np.array([2, 0, 2])
    gradient, direction = torch.tensor(rng.standard_normal((12, spots.length))), torch.tensor(rng.standard_normal((12, 3)))
    here, brought = (DevicePool(spots, geometry, "cpu", resident).maps(chosen) for resident in (True, False))
    torch.testing.assert_close(brought.forces(gradient), here.forces(gradient), rtol=0, atol=0)
    torch.testing.assert_close(brought.change(direction), here.change(direction), rtol=0, atol=0)


def test_forces_are_minus_the_slope_of_the_energy(pool):
    spots, geometry, positions = pool
    rng = np.random.default_rng(1)
    layers = layers_of(rng, (DESCRIPTOR.length, 6, 1))

    def energy(x):
        features = numba_cpu.values(DESCRIPTOR, x[None], NUMBERS, *BOX)[0]
        return float(network(layers, "tanh", torch.from_numpy(features))[0].sum().detach())

    features = torch.from_numpy(numba_cpu.values(DESCRIPTOR, positions[1:2], NUMBERS, *BOX)[0])
    _, gradient = network(layers, "tanh", features)
    forces = ForceProduct.apply(gradient, CpuMaps(spots, geometry, np.array([1]))).detach().numpy()
    step = 1e-5
    for atom in range(4):
        for axis in range(3):
            shift = np.zeros((4, 3))
            shift[atom, axis] = step
            slope = (energy(positions[1] + shift) - energy(positions[1] - shift)) / (2 * step)
            assert forces[atom, axis] == pytest.approx(-slope, rel=1e-6, abs=1e-8)


def test_the_gradient_of_a_force_loss_is_its_finite_difference(pool):
    spots, geometry, positions = pool
    rng = np.random.default_rng(2)
    layers = layers_of(rng, (DESCRIPTOR.length, 5, 1))
    chosen = np.array([3, 0])
    features = torch.from_numpy(numba_cpu.values(DESCRIPTOR, positions[chosen], NUMBERS, *BOX).reshape(8, -1))
    wanted = torch.tensor(rng.standard_normal((8, 3)))

    def loss():
        _, gradient = network(layers, "tanh", features)
        return (ForceProduct.apply(gradient, CpuMaps(spots, geometry, chosen)) - wanted).square().sum()

    loss().backward()
    weights, step = layers[0][0], 1e-6
    for row, column in [(0, 0), (2, 9), (4, 20)]:
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                weights[row, column] += sign * step
                ends.append(float(loss()))
                weights[row, column] -= sign * step
        assert float(weights.grad[row, column]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("descriptor", [DESCRIPTOR, replace(DESCRIPTOR, basis="bspline")], ids=["chebyshev", "bspline"])
def test_plain_torch_gives_the_numbers_of_the_compiled_loops(descriptor):
    spots, geometry, _ = pool_of(descriptor)
    rng = np.random.default_rng(4)
    chosen = np.array([2, 0, 3])
    compiled, plain = CpuMaps(spots, geometry, chosen), DevicePool(spots, geometry, "cpu").maps(chosen)
    gradient, direction = torch.tensor(rng.standard_normal((12, spots.length))), torch.tensor(rng.standard_normal((12, 3)))
    strain = torch.tensor(rng.standard_normal((3, 3, 3)))
    torch.testing.assert_close(plain.forces(gradient), compiled.forces(gradient), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(plain.change(direction), compiled.change(direction), rtol=1e-11, atol=1e-11)
    mine, theirs = plain.forces_and_virial(gradient), compiled.forces_and_virial(gradient)
    torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)
    bent = plain.change(direction, strain)
    torch.testing.assert_close(bent, compiled.change(direction, strain), rtol=1e-11, atol=1e-11)
    pulled = (mine[0] * direction).sum() + (mine[1] * strain).sum()
    assert float(pulled) == pytest.approx(-float((gradient * bent).sum()), rel=1e-11)
    assert torch.autograd.gradgradcheck(lambda g: VirialProduct.apply(g.tanh(), plain), gradient.requires_grad_(), fast_mode=True)


def test_the_virial_is_minus_the_slope_of_the_energy_by_strain():
    """In a triclinic cell that is smaller than the cut-off, so that atoms see their own images."""
    rng, cell, pbc = (
        np.random.default_rng(6),
        np.array([[3.1, 0.0, 0.0], [0.7, 2.9, 0.0], [0.3, -0.4, 3.3]]),
        np.ones(3, dtype=bool),
    )
    positions, spots = 2.5 * rng.random((4, 3)), products.layout(DESCRIPTOR)
    layers = layers_of(rng, (DESCRIPTOR.length, 6, 1))
    found = pairs(positions, cell, pbc, DESCRIPTOR.radial_cutoff_A)
    near = (found.first, found.second, found.vector, found.distance)
    pool = products.geometry(spots, near, kinds(DESCRIPTOR, NUMBERS), np.float64)

    def of(turn):
        features = numba_cpu.values(DESCRIPTOR, (positions @ turn)[None], NUMBERS, cell @ turn, pbc)[0]
        energy, gradient = network(layers, "tanh", torch.from_numpy(features))
        return float(energy.sum().detach()), gradient

    gradient = of(np.eye(3))[1]
    for maps in (CpuMaps(spots, pool, np.array([0])), DevicePool(spots, pool, "cpu").maps(np.array([0]))):
        virial = VirialProduct.apply(gradient, maps)[1][0].detach().numpy()
        for row, column in np.ndindex(3, 3):
            turn = np.zeros((3, 3))
            turn[row, column] = 1e-5
            slope = (of(np.eye(3) + turn)[0] - of(np.eye(3) - turn)[0]) / 2e-5
            assert virial[row, column] == pytest.approx(-slope, rel=1e-6, abs=1e-7)
