"""The loops for GPUs, in Triton's interpreter where there is no GPU: equal to the reference, and compiled for an H100."""

import os
import subprocess
import sys

import numpy as np
import pytest

from kernels.descriptors import reference
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.base import lattice

pytestmark = pytest.mark.needs_triton
FAMILIES = [("species_resolved", (2, 1, 4)), ("species_weighted", ())]
TRICLINIC = np.array([[3.1, 0.3, -0.2], [0.1, 3.4, 0.5], [-0.4, 0.2, 3.8]])


@pytest.fixture
def gpu():
    from kernels.descriptors import triton_gpu

    return triton_gpu


def chebyshev(family="species_resolved", powers=(), species=(8, 14, 1)):
    return Chebyshev(species, family, 4, 3.7, 3, 2.9, powers)


def close(mine, theirs, digits):
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() <= digits * max(1.0, np.abs(theirs).max())


def small(pbc, seed=7):
    """Three atoms, some outside the cell: (positions (1, 3, 3), numbers, cell, pbc)."""
    rng = np.random.default_rng(seed)
    places = (np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1]]) / 2 + rng.uniform(-0.08, 0.08, (1, 3, 3)) + [1, -2, 0]) @ TRICLINIC
    return places, np.array([8, 14, 8]), TRICLINIC, np.array(pbc, bool)


def test_golden_values_of_three_species(gpu):
    descriptor = Chebyshev((1, 2, 3), "species_weighted", 2, 4.0, 1, 3.0)
    positions = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 2.5]]])
    golden = [1.662211674411, -0.349612124342, -1.196852693637, 0.254487298108, 0]
    golden += [-0.544895106776, 0.503941266251, 0.156700696956, -0.050240473581, 0]
    features = gpu.values(descriptor, positions, np.array([3, 1, 2, 3]), np.zeros((3, 3)), np.zeros(3, bool))
    assert np.allclose(features[0, 0], golden, rtol=0, atol=2e-12)


@pytest.mark.parametrize("pbc", [(0, 0, 0), (1, 0, 1), (1, 1, 1)])
@pytest.mark.parametrize(("family", "powers"), FAMILIES)
def test_same_numbers_as_the_reference(gpu, family, powers, pbc):
    descriptor, batch, rng = chebyshev(family, powers), small(pbc), np.random.default_rng(11)
    gradient, direction = rng.normal(size=(1, 3, descriptor.length)), rng.normal(size=(1, 3, 3))
    close(gpu.values(descriptor, *batch), reference.values(descriptor, *batch), 1e-12)
    mine, theirs = (backend.pull_back(descriptor, *batch, gradient) for backend in (gpu, reference))
    close(mine[0], theirs[0], 1e-12)
    close(mine[1], theirs[1], 1e-12)
    close(gpu.push_forward(descriptor, *batch, direction), reference.push_forward(descriptor, *batch, direction), 1e-12)


@pytest.mark.parametrize("geometry", ["float64", "float32"])
@pytest.mark.parametrize(("family", "powers"), FAMILIES)
def test_single_precision(gpu, family, powers, geometry):
    import torch

    from kernels.neighbors.torch_device import batched

    descriptor, (positions, numbers, cell, pbc) = chebyshev(family, powers), small((1, 0, 1))
    device, rng = "cuda" if torch.cuda.is_available() else "cpu", np.random.default_rng(2)
    plan = gpu.plan_of(descriptor, device, torch.float32)
    species = torch.tensor(kinds(descriptor, numbers), dtype=torch.int32, device=device)
    found = batched(torch.tensor(positions, device=device), lattice(cell, pbc), descriptor.radial_cutoff_A)
    near, order = gpu.edges(plan, found.first, found.second, found.distance >= descriptor.angular_cutoff_A, species)
    table = gpu.measured(plan, near, found.vector[order].to(getattr(torch, geometry)), species)
    gradient, direction = rng.normal(size=(1, 3, descriptor.length)), rng.normal(size=(1, 3, 3))
    there = [torch.tensor(array[0], dtype=torch.float32, device=device) for array in (gradient, direction)]
    features, forces, change = (
        gpu.features(plan, near, table),
        gpu.forces(plan, near, table, there[0]),
        gpu.change(plan, near, table, there[1]),
    )
    assert features.dtype == forces.dtype == change.dtype == torch.float32
    batch = positions, numbers, cell, pbc
    close(features.cpu().numpy(), reference.values(descriptor, *batch)[0], 1e-5)
    close(forces.cpu().numpy(), reference.pull_back(descriptor, *batch, gradient)[0][0], 1e-5)
    close(change.cpu().numpy(), reference.push_forward(descriptor, *batch, direction)[0], 1e-5)


def test_many_neighbours_need_several_blocks(gpu):
    """About one atom are 39 others, more than two blocks hold; beyond the angular cut-off of 1.6 A are some of every species."""
    rng = np.random.default_rng(4)
    far = np.concatenate([rng.uniform(-1.2, 1.2, (40, 3)), [[60, 0, 0]]])
    numbers = rng.choice([1, 2], 41)
    import torch

    from kernels.neighbors.torch_device import batched

    descriptor = Chebyshev((1, 2), "species_resolved", 2, 5.0, 3, 1.6)
    box, device = (np.zeros((3, 3)), np.zeros(3, bool)), "cuda" if torch.cuda.is_available() else "cpu"
    plan = gpu.plan_of(descriptor, device, torch.float64)
    species = torch.tensor(kinds(descriptor, numbers), dtype=torch.int32, device=device)
    found = batched(torch.tensor(far[None], device=device), lattice(*box), 5.0)
    one = found.first == 7  # the others have no neighbours, so that the interpreter need not go through them
    first, second, vector, distance = found.first[one], found.second[one], found.vector[one], found.distance[one]
    near, order = gpu.edges(plan, first, second, distance >= 1.6, species)
    table = gpu.measured(plan, near, vector[order], species)
    gradient = torch.zeros((41, descriptor.length), dtype=torch.float64, device=device)
    gradient[7] = torch.tensor(rng.normal(size=descriptor.length))
    there = far[None], numbers, *box
    from kernels.descriptors import numba_cpu

    close(gpu.features(plan, near, table)[7].cpu().numpy(), numba_cpu.values(descriptor, *there)[0, 7], 1e-12)
    forces = gpu.forces(plan, near, table, gradient).cpu().numpy()
    close(forces, numba_cpu.pull_back(descriptor, *there, gradient[None].cpu().numpy())[0][0], 1e-12)
    direction = rng.normal(size=(41, 3))
    change = gpu.change(plan, near, table, torch.tensor(direction, device=device))[7].cpu().numpy()
    close(change, numba_cpu.push_forward(descriptor, *there, direction[None])[0, 7], 1e-12)


def test_atoms_alone_and_in_pairs(gpu):
    descriptor, rng = chebyshev(), np.random.default_rng(1)
    positions = np.array([[[0, 0, 0], [0, 0, 1.3], [20.0, 0, 0]]])
    batch = positions, np.array([8, 1, 14]), np.zeros((3, 3)), np.zeros(3, bool)
    features = gpu.values(descriptor, *batch)
    assert not features[0, 2].any()
    assert features[0, :2].any()
    close(features, reference.values(descriptor, *batch), 1e-12)
    gradient = rng.normal(size=features.shape)
    close(gpu.pull_back(descriptor, *batch, gradient)[0], reference.pull_back(descriptor, *batch, gradient)[0], 1e-12)
    alone = gpu.pull_back(descriptor, positions[:, 2:], np.array([14]), *batch[2:], gradient[:, 2:])
    assert not alone[0].any()
    assert not alone[1].any()


def test_bits_do_not_depend_on_the_batch_and_nan_stays_where_it_is(gpu):
    descriptor = chebyshev()
    one, numbers, cell, pbc = small((1, 0, 0))
    broken = one.copy()
    broken[0, 1, 0] = np.nan
    batch = np.concatenate([small((1, 0, 0), 8)[0], broken, one])
    gradient = np.random.default_rng(3).normal(size=(3, 3, descriptor.length))
    together = gpu.values(descriptor, batch, numbers, cell, pbc), *gpu.pull_back(descriptor, batch, numbers, cell, pbc, gradient)
    alone = gpu.values(descriptor, one, numbers, cell, pbc), *gpu.pull_back(descriptor, one, numbers, cell, pbc, gradient[2:])
    for many, few in zip(together, alone, strict=True):
        assert np.array_equal(many[2], few[0])
        assert np.isnan(many[1]).all()
        assert np.isfinite(many[0]).all()


def test_wrong_shapes_are_refused(gpu):
    batch = small((0, 0, 0))
    with pytest.raises(ValueError, match="gradient has shape"):
        gpu.pull_back(chebyshev(), *batch, np.zeros((1, 3, 2)))
    with pytest.raises(ValueError, match="direction has shape"):
        gpu.push_forward(chebyshev(), *batch, np.zeros((1, 2, 3)))


COMPILE = """
import sys
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from kernels.descriptors import triton_gpu, triton_loops, triton_pull
from kernels.descriptors.base import Chebyshev

whole = {"begin", "near", "end", "second", "incoming_begin", "incoming", "radial_at", "angular_at", "species", "powers"}

def compiled(loop, kind, constants):
    def type_of(name):
        return "constexpr" if name in constants else "i32" if name == "count" else "*i32" if name in whole else "*" + kind
    places = {(loop.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(loop, {name: type_of(name) for name in loop.arg_names}, places)
    options = {"num_warps": 1, "enable_fp_fusion": True}
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options).asm["cubin"]
    print(loop.__name__)

for kind, family in (("fp32", "species_weighted"), ("fp64", "species_resolved")):
    plan = triton_gpu.plan_of(Chebyshev((1, 8), family, 5, 6.0, 3, 4.0), "cpu", torch.float64)
    shape = triton_gpu._shape(plan)
    del shape["num_warps"], shape["enable_fp_fusion"]
    cut = {"spec": 2, "radial_A": 6.0, "radial_per": 0.5, "angular_A": 4.0, "angular_per": 0.8}
    compiled(triton_loops.measure, kind, {**cut, "RR": shape["RR"], "RA": shape["RA"], "BLOCK": 256})
    for moved, strained in ((False, False), (True, False), (True, True)):
        flags = {"MOVED": moved, "STRAINED": strained, "LONG_ROOM": 8, "SHORT_ROOM": 4}
        compiled(triton_loops.project, kind, {**shape, **flags})
    compiled(triton_pull.pull, kind, shape)
    compiled(triton_pull.collect, kind, {"GROUPS": shape["GROUPS"], "BLOCK": 32, "VIRIAL": True})
"""


def test_the_loops_compile_for_an_h100(tmp_path):
    """The interpreter takes much that the compiler refuses. No GPU is needed."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == 2 * ["measure", "project", "project", "project", "pull", "collect"]
