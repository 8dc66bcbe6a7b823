"""Force product and networks: gradients against finite differences, plain torch against compiled loops."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from kernels.descriptors import numba_cpu, products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs
from train_daemon.blocks import CpuMaps, DevicePool, ForceProduct, network

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
    torch.testing.assert_close(plain.forces(gradient), compiled.forces(gradient), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(plain.change(direction), compiled.change(direction), rtol=1e-11, atol=1e-11)
