"""The trainer's maps in Triton: the numbers of the other maps, and what autograd makes of them."""

import numpy as np
import pytest
import torch

from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs
from train_daemon.blocks import CpuMaps, DevicePool, ForceProduct, PlainPool, VirialProduct, in_triton, network

pytestmark = pytest.mark.needs_triton
DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 2.2)
BOX = (np.zeros((3, 3)), np.zeros(3, dtype=bool))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def pool_of(dtype=np.float64, with_triplets=True):
    """Structures of 4, 3 and 2 atoms; the last two atoms do not see each other."""
    rng, parts = np.random.default_rng(5), []
    spots = products.layout(DESCRIPTOR)
    structures = (3 * rng.random((4, 3)), np.array([8, 1, 1, 8])), (2 * rng.random((3, 3)), np.array([1, 8, 1]))
    for positions, numbers in (*structures, (np.array([[0, 0, 0], [0, 0, 30.0]]), np.array([1, 8]))):
        found = pairs(positions, *BOX, DESCRIPTOR.radial_cutoff_A)
        near = (found.first, found.second, found.vector, found.distance)
        parts.append(products.geometry(spots, near, kinds(DESCRIPTOR, numbers), dtype, with_triplets))
    return spots, products.join(parts)


@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_numbers_of_the_other_maps(dtype, digits):
    from train_daemon.triton_maps import TritonPool

    spots, pool = pool_of(dtype)
    chosen, rng = np.array([2, 1, 0, 1]), np.random.default_rng(4)
    pairs_alone = pool_of(dtype, with_triplets=False)[1]
    assert len(pairs_alone.left) == 0 < len(pool.left)
    mine = TritonPool(spots, pairs_alone, DEVICE).maps(chosen)
    gradient, direction = rng.standard_normal((12, spots.length)), rng.standard_normal((12, 3))
    strain = rng.standard_normal((4, 3, 3))
    gradient, direction, strain = (torch.tensor(array.astype(dtype)) for array in (gradient, direction, strain))
    others = [PlainPool(spots, pool, "cpu").maps(chosen), *([CpuMaps(spots, pool, chosen)] if dtype is np.float64 else [])]
    for other in others:
        for made, want in (
            (mine.forces(gradient.to(DEVICE)), other.forces(gradient)),
            *zip(mine.forces_and_virial(gradient.to(DEVICE)), other.forces_and_virial(gradient), strict=True),
            (mine.change(direction.to(DEVICE)), other.change(direction)),
            (mine.change(direction.to(DEVICE), strain.to(DEVICE)), other.change(direction, strain)),
        ):
            assert (made.cpu() - want).abs().max() <= digits * want.abs().max()


def test_the_second_derivative_of_the_force_product():
    from train_daemon.triton_maps import TritonPool

    spots, pool = pool_of()
    maps = TritonPool(spots, pool, DEVICE).maps(np.array([1]))
    gradient = torch.tensor(np.random.default_rng(1).standard_normal((3, spots.length)), device=DEVICE, requires_grad=True)
    # one random direction instead of all: the interpreter takes its time
    assert torch.autograd.gradgradcheck(lambda g: ForceProduct.apply(g.tanh(), maps), gradient, fast_mode=True)


def test_the_virial_and_the_strain_are_adjoint():
    from train_daemon.triton_maps import TritonPool

    spots, pool = pool_of()
    maps, rng = TritonPool(spots, pool, DEVICE).maps(np.array([2, 0, 1])), np.random.default_rng(3)
    shapes = (9, spots.length), (9, 3), (3, 3, 3)
    gradient, direction, strain = (torch.tensor(rng.standard_normal(shape), device=DEVICE) for shape in shapes)
    leaf = gradient.clone().requires_grad_()
    forces, virial = VirialProduct.apply(leaf, maps)
    total = (forces * direction).sum() + (virial * strain).sum()
    torch.testing.assert_close(total, -(gradient * maps.change(direction, strain)).sum(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(torch.autograd.grad(total, leaf)[0], -maps.change(direction, strain))


def test_the_gradient_of_a_force_loss_by_the_weights():
    from train_daemon.triton_maps import TritonPool

    spots, pool = pool_of()
    rng, chosen = np.random.default_rng(2), np.array([0, 2])
    inputs, wanted = rng.standard_normal((6, spots.length)), rng.standard_normal((6, 3))
    weights = rng.standard_normal((5, spots.length)), rng.standard_normal(5), rng.standard_normal((1, 5)), rng.standard_normal(1)

    def gradients(maps, device):
        w, b, v, c = parts = [torch.tensor(part, device=device, requires_grad=True) for part in weights]
        energy, slope = network([(w, b), (v, c)], "tanh", torch.tensor(inputs, device=device))
        forces = ForceProduct.apply(slope, maps)
        loss = (forces - torch.tensor(wanted, device=device)).square().sum() + energy.square().sum()
        return [part.cpu() for part in torch.autograd.grad(loss, parts)]

    mine = gradients(TritonPool(spots, pool, DEVICE).maps(chosen), DEVICE)
    for made, want in zip(mine, gradients(CpuMaps(spots, pool, chosen), "cpu"), strict=True):
        torch.testing.assert_close(made, want, rtol=1e-11, atol=1e-11)


def test_the_cpu_keeps_plain_torch():
    spots, pool = pool_of()
    assert not in_triton("cpu")
    assert in_triton("cuda:1")
    maps = DevicePool(spots, pool, "cpu").maps(np.array([0]))
    assert type(maps).__name__ == "DeviceMaps"


@pytest.mark.needs_cuda
def test_a_cuda_device_takes_triton():
    spots, pool = pool_of(np.float32)
    maps = DevicePool(spots, pool, "cuda").maps(np.array([0, 1]))
    assert type(maps).__name__ == "TritonMaps"
    gradient = torch.randn((7, spots.length), device="cuda")
    plain = PlainPool(spots, pool, "cuda").maps(np.array([0, 1]))
    torch.testing.assert_close(maps.forces(gradient), plain.forces(gradient), rtol=1e-4, atol=1e-5)
    assert torch.equal(maps.forces(gradient), maps.forces(gradient))
