"""A pool gives what its structures give one by one."""

import numpy as np
import pytest

from kernels import native
from kernels.descriptors import numba_cpu
from kernels.descriptors.base import Chebyshev
from kernels.pool import Pool

pytestmark = pytest.mark.needs_compiled

OPEN, PERIODIC = np.zeros(3, bool), np.ones(3, bool)


def systems(melt):
    """Of different sizes, compositions and cells."""
    made = []
    for seed, (atoms, pbc) in enumerate([(5, OPEN), (12, PERIODIC), (1, OPEN), (30, PERIODIC)]):
        positions, numbers, cell = melt(atoms, seed)
        made.append((positions[0], numbers, cell, pbc))
    return made


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-5)])
def test_features_and_both_products_of_chosen_structures(melt, family, dtype, tolerance):
    descriptor, made, rng = Chebyshev((8, 14), family, 9, 5.0, 6, 4.0), systems(melt), np.random.default_rng(0)
    pool = Pool(descriptor, dtype)
    pool.add(made[:2])
    pool.add(made[2:])
    chosen = np.array([3, 0, 3, 2, 1])
    sizes = [len(made[n][1]) for n in chosen]
    ends = np.cumsum(sizes)[:-1]
    gradient, direction = rng.normal(size=(sum(sizes), descriptor.length)), rng.normal(size=(sum(sizes), 3))
    features, (forces, virial) = pool.values(chosen), pool.pull_back(chosen, gradient)
    change = pool.push_forward(chosen, direction)
    assert (features.dtype, forces.dtype, virial.dtype, change.dtype) == (np.float64, dtype, dtype, dtype)
    parts = (np.split(array, ends) for array in (features, forces, change, gradient, direction))
    for n, mine, pushed, moved, slope, step, bent in zip(chosen, *parts, virial, strict=True):
        positions, *box = made[n]
        want = numba_cpu.values(descriptor, positions[None], *box)[0]
        assert np.abs(mine - want).max() <= 1e-11 * max(1, np.abs(want).max())
        for told, (want,) in zip(
            (pushed, bent), numba_cpu.pull_back(descriptor, positions[None], *box, slope[None]), strict=True
        ):
            assert np.abs(told - want).max() <= tolerance * max(1, np.abs(want).max())
        want = numba_cpu.push_forward(descriptor, positions[None], *box, step[None])[0]
        assert np.abs(moved - want).max() <= tolerance * max(1, np.abs(want).max())


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
def test_the_change_along_a_strain(melt, family):
    """Adjoint of the virial, and the difference of the features."""
    descriptor, made, rng = Chebyshev((8, 14), family, 9, 5.0, 6, 4.0), systems(melt), np.random.default_rng(2)
    pool, chosen = Pool(descriptor, np.float64), np.array([3, 1, 0])
    pool.add(made)
    rows = sum(len(made[n][1]) for n in chosen)
    gradient, direction = rng.normal(size=(rows, descriptor.length)), rng.normal(size=(rows, 3))
    strain = rng.normal(size=(3, 3, 3))
    forces, virial = pool.pull_back(chosen, gradient)
    change = pool.push_forward(chosen, direction, strain)
    assert np.sum(forces * direction) + np.sum(virial * strain) == pytest.approx(-np.sum(gradient * change), rel=1e-10)
    positions, numbers, cell, pbc = made[1]
    ends = [
        numba_cpu.values(descriptor, (positions @ turn)[None], numbers, cell @ turn, pbc)[0] for turn in turns(strain[1], 1e-5)
    ]
    bent = pool.push_forward(chosen[1:2], np.zeros_like(positions), strain[1:2])
    np.testing.assert_allclose(bent, (ends[0] - ends[1]) / 2e-5, rtol=1e-6, atol=1e-6)


def turns(strain, step):
    """What rows of vectors are multiplied with for a small strain and its opposite."""
    return [(np.eye(3) + sign * step * strain).T for sign in (1, -1)]


def test_bits_do_not_depend_on_the_company_or_the_number_of_threads(melt, monkeypatch):
    descriptor, made = Chebyshev((8, 14), "species_resolved", 9, 5.0, 6, 4.0), systems(melt)
    pool, rng = Pool(descriptor), np.random.default_rng(1)
    pool.add(made)
    gradient = rng.normal(size=(48, descriptor.length))
    seen = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        seen.append(pool.pull_back(np.arange(4), gradient))
    assert native.threads() == 3
    assert all(np.array_equal(mine, theirs) for other in seen[1:] for mine, theirs in zip(seen[0], other, strict=True))
    forces, virial = pool.pull_back(np.array([3]), gradient[18:])
    assert np.array_equal(seen[0][0][18:], forces)
    assert np.array_equal(seen[0][1][3:], virial)


def test_what_is_not_there_is_refused(melt):
    pool = Pool(Chebyshev((8, 14), "species_resolved", 9, 5.0, 6, 4.0))
    pool.add(systems(melt)[:1])
    with pytest.raises(IndexError, match="0 to 1 of a pool of 1"):
        pool.values(np.array([0, 1]))
    with pytest.raises(ValueError, match="shape"):
        pool.push_forward(np.array([0]), np.zeros((4, 3)))
    with pytest.raises(ValueError, match="strain has shape"):
        pool.push_forward(np.array([0]), np.zeros((5, 3)), np.zeros((3, 3)))
    assert pool.values(np.zeros(0, int)).shape == (0, pool.length)
