"""A pool gives what its structures give one by one."""

import resource
import signal

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


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted", "bspline"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-5)])
def test_features_and_both_products_of_chosen_structures(melt, family, dtype, tolerance):
    kind = (family, "chebyshev") if family != "bspline" else ("species_resolved", family)
    descriptor, made = Chebyshev((8, 14), kind[0], 9, 5.0, 6, 4.0, basis=kind[1]), systems(melt)
    rng = np.random.default_rng(0)
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


def test_the_folder_of_scratch_is_left_empty_and_one_that_is_absent_is_named(melt, tmp_path):
    descriptor = Chebyshev((8, 14), "species_resolved", 9, 5.0, 6, 4.0)
    Pool(descriptor, folder=tmp_path).add(systems(melt))
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="absent"):
        Pool(descriptor, folder=tmp_path / "absent")


def test_many_structures_fill_chunk_after_chunk(melt):
    descriptor, made, rng = Chebyshev((8, 14), "species_resolved", 3, 5.0, 2, 4.0), systems(melt), np.random.default_rng(1)
    pool = Pool(descriptor)
    pool.add(made * 300)  # 8 MiB
    gradient = rng.normal(size=(60, descriptor.length))
    few = Pool(descriptor)
    few.add(made)
    for mine, theirs in zip(
        pool.pull_back(np.array([1199, 3]), gradient), few.pull_back(np.array([3, 3]), gradient), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_full_scratch_is_an_error_and_what_was_there_stays(melt, tmp_path):
    """The limit of a file's size stands for the end of a disk."""
    descriptor, made = Chebyshev((8, 14), "species_resolved", 3, 5.0, 2, 4.0), systems(melt)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pool = Pool(descriptor, folder=tmp_path)
    pool.add(made)
    kept = pool.values(np.arange(4))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            pool.add(made * 400)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.filename == str(tmp_path)
    np.testing.assert_array_equal(pool.values(np.arange(4)), kept)
