"""The compiled kernels: the same bits however they are called, and the same numbers as the loops in Numba."""

import itertools
import platform

import numpy as np
import pytest

from kernels import native
from kernels.descriptors import numba_cpu
from kernels.descriptors.base import Chebyshev

pytestmark = pytest.mark.needs_compiled

PERIODIC, OPEN = np.ones(3, bool), np.zeros(3, bool)


@pytest.mark.parametrize(
    ("orders", "powers"),
    [
        ((0, 0), (1,)),
        ((11, 12), (1,)),
        ((12, 15), (1, 3)),
        ((31, 24), (2,)),
        ((50, 30), (1,)),
        ((64, 40), (1, 2, 3)),
        ((100, 7), (1,)),
    ],
)
def test_orders_from_one_term_to_a_hundred(orders, powers, melt):
    positions, numbers, cell = melt(12)
    descriptor = Chebyshev((8, 14), "species_resolved", orders[0], 4.5, orders[1], 4.0, powers)
    rng = np.random.default_rng(1)
    gradient, direction = rng.normal(size=(1, 12, descriptor.length)), rng.normal(size=positions.shape)
    system, loops = (positions, numbers, cell, PERIODIC), native.Loops(descriptor)
    pairs = [(loops.values(*system), numba_cpu.values(descriptor, *system))]
    pairs += zip(loops.pull_back(*system, gradient), numba_cpu.pull_back(descriptor, *system, gradient), strict=True)
    pairs += [(loops.push_forward(*system, direction), numba_cpu.push_forward(descriptor, *system, direction))]
    for mine, theirs in pairs:
        assert np.abs(mine - theirs).max() < 1e-11 * np.abs(theirs).max()


def test_orders_beyond_the_loops_are_refused():
    with pytest.raises(ValueError, match="not made for"):
        native.Loops(Chebyshev((1,), "species_resolved", 200, 4.0, 3, 4.0))


def test_a_kept_list_of_neighbours_gives_the_bits_of_a_new_one(melt, networks):
    """Steps of all sizes: below the skin, beyond it, and back."""
    positions, numbers, cell = melt(300)
    descriptor = Chebyshev((8, 14), "species_weighted", 6, 5.0, 4, 4.0)
    kept, rng = native.Loops(descriptor, networks(descriptor)), np.random.default_rng(5)
    for step in (0, 0.02, 0.05, 0.1, 3.0, 0.01, -7.0):
        positions = positions + step * rng.uniform(-1, 1, positions.shape)
        new = native.Loops(descriptor, networks(descriptor))
        results = zip(
            kept.energy(positions, numbers, cell, PERIODIC), new.energy(positions, numbers, cell, PERIODIC), strict=True
        )
        assert all(np.array_equal(mine, fresh) for mine, fresh in results)


def test_another_system_after_the_first_one(melt):
    descriptor = Chebyshev((8, 14), "species_resolved", 6, 5.0, 4, 4.0)
    loops = native.Loops(descriptor)
    positions, numbers, cell = melt(30)
    systems = [
        (positions, numbers, cell, PERIODIC),
        (positions, numbers, cell, OPEN),
        (positions, numbers[::-1].copy(), cell, OPEN),
        (positions, numbers, 1.1 * cell, PERIODIC),
        (positions[:, :9], numbers[:9], cell, PERIODIC),
    ]
    for system in systems:
        assert np.allclose(loops.values(*system), numba_cpu.values(descriptor, *system), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("batch", "atoms"), [(5, 40), (1, 2500)])
def test_bits_do_not_depend_on_the_number_of_threads(batch, atoms, monkeypatch, melt, networks):
    positions, numbers, cell = melt(atoms)
    positions = positions + np.random.default_rng(2).normal(0, 0.2, (batch, atoms, 3))
    descriptor = Chebyshev((8, 14), "species_resolved", 5, 4.0, 3, 3.5)
    results = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        results.append(native.Loops(descriptor, networks(descriptor)).energy(positions, numbers, cell, PERIODIC))
    assert native.threads() == 3
    for other in results[1:]:
        assert all(np.array_equal(mine, theirs) for mine, theirs in zip(results[0], other, strict=True))


def test_bits_do_not_depend_on_the_batch_and_the_spread_of_its_structures(melt, networks):
    """Beads share a list; structures far apart do too, with a longer reach."""
    positions, numbers, cell = melt(50)
    positions = positions + np.random.default_rng(2).normal(0, 1, (4, 50, 3)) * np.array([0, 0.1, 0.5, 4])[:, None, None]
    descriptor = Chebyshev((8, 14), "species_resolved", 5, 4.0, 3, 3.5)
    together = native.Loops(descriptor, networks(descriptor)).energy(positions, numbers, cell, PERIODIC)
    for b in range(4):
        alone = native.Loops(descriptor, networks(descriptor)).energy(positions[b : b + 1], numbers, cell, PERIODIC)
        assert all(np.array_equal(many[b], few[0]) for many, few in zip(together, alone, strict=True))


def test_energies_of_atoms_add_up_and_forces_are_minus_the_gradient_in_both_precisions(melt, networks):
    positions, numbers, cell = melt(20)
    descriptor = Chebyshev((8, 14), "species_resolved", 8, 4.5, 6, 4.0)
    full, single = (native.Loops(descriptor, networks(descriptor), single) for single in (False, True))
    energy, atomic, forces, _ = full.energy(positions, numbers, cell, PERIODIC)
    assert energy[0] == pytest.approx(atomic[0].sum(), rel=1e-13)
    step = 1e-4 * np.random.default_rng(7).normal(size=positions.shape)
    steps = np.concatenate([positions + sign * step for sign in (-2, -1, 1, 2)])
    far, near, after, beyond = full.energy(steps, numbers, cell, PERIODIC)[0]
    assert (far - 8 * near + 8 * after - beyond) / 12 == pytest.approx(-np.vdot(forces, step), rel=1e-6)
    rough = single.energy(positions, numbers, cell, PERIODIC)
    assert rough[0] == pytest.approx(energy, abs=1e-5 * 20)
    assert np.abs(rough[2] - forces).max() < 1e-5 * np.abs(forces).max()


def test_open_directions_and_atoms_far_outside_the_cell(melt):
    positions, numbers, cell = melt(16)
    descriptor = Chebyshev((8, 14), "species_weighted", 5, 4.0, 3, 3.5)
    for pbc in itertools.product((False, True), repeat=3):
        pbc = np.array(pbc)
        moved = positions + np.random.default_rng(1).integers(-40, 40, (16, 3)) * pbc @ cell
        mine = native.Loops(descriptor).values(moved, numbers, cell, pbc)
        assert np.allclose(mine, numba_cpu.values(descriptor, positions, numbers, cell, pbc), rtol=1e-9, atol=1e-9)


def test_every_object_that_this_processor_can_run_agrees(monkeypatch, melt, networks):
    positions, numbers, cell = melt(25)
    descriptor = Chebyshev((8, 14), "species_resolved", 15, 5.0, 8, 4.0)
    want, seen = None, []
    for name in native.INSTRUCTIONS.get(platform.machine(), ("generic",)):
        monkeypatch.setenv("RENKEI_KERNELS", name)
        native.library.cache_clear()
        if native.library() is not None:
            assert native.backend() == name
            seen.append(native.Loops(descriptor, networks(descriptor)).energy(positions, numbers, cell, PERIODIC))
            want = want or seen[0]
            assert all(np.allclose(mine, theirs, rtol=1e-9, atol=1e-10) for mine, theirs in zip(seen[-1], want, strict=True))
    monkeypatch.setenv("RENKEI_KERNELS", "numba")
    native.library.cache_clear()
    assert native.backend() == "numba"
    with pytest.raises(ValueError, match="not here"):
        native.Loops(descriptor)
    native.library.cache_clear()
    assert seen


def test_the_peak_is_a_rate_of_this_core_and_needs_the_compiled_kernels(monkeypatch):
    for single in (True, False):
        assert 1e8 < native.fma_peak(single, 0.01) < 1e12  # between a core of thirty years ago and any of today
    monkeypatch.setenv("RENKEI_KERNELS", "numba")
    native.library.cache_clear()
    with pytest.raises(ValueError, match="not here"):
        native.fma_peak(True, 0.01)
    native.library.cache_clear()


def test_a_damaged_object_is_passed_over(tmp_path, monkeypatch):
    for name in native.INSTRUCTIONS.get(platform.machine(), ("generic",)):
        (tmp_path / f"{name}.so").write_bytes(b"not a library")
    monkeypatch.setattr(native, "FOLDER", tmp_path)
    native.library.cache_clear()
    assert native.backend() == "numba"
    native.library.cache_clear()
