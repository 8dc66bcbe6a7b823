"""Random systems: what is true of every structure, cell and descriptor, in Numba and by all instruction sets that run here."""

import itertools
import platform
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from kernels import native
from kernels.arrays import Array
from kernels.descriptors import numba_cpu, reference
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.base import lattice
from kernels.neighbors.numba_cpu import pairs
from kernels.network import networks
from kernels.potentials.bpnn import NO_PAIRS, evaluate_in_numba

NAMES = native.INSTRUCTIONS.get(platform.machine(), ("generic",))
HERE = [name for name in NAMES if native._open(native.FOLDER / f"{name}.so") is not None]
CLOSEST_A = 0.7  # closer atoms have huge forces, of which differences see nothing
TINY, ROOMY = (1.6, 2.5, 4.0, 9.0), (4.0, 9.0)  # edges of cells, A; images of an atom are at least CLOSEST_A away
EVERY = settings(max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


class Case(NamedTuple):
    """A structure and a descriptor of its species, and perhaps of more."""

    positions: Array  # (1, N, 3) A
    numbers: Array
    cell: Array
    pbc: Array
    descriptor: Chebyshev

    @property
    def system(self):
        return self.positions, self.numbers, self.cell, self.pbc


def spread_out(rng, atoms, cell, pbc):
    """Positions (n, 3) in a cell, n as near to `atoms` as there is room."""
    images = np.array(list(itertools.product((-2, -1, 0, 1, 2), repeat=3)))
    shifts = images[(images[:, ~pbc] == 0).all(axis=1)] @ cell
    placed = []
    for new in rng.uniform(0, 1, (40 * atoms, 3)) @ cell:
        if len(placed) < atoms and all(np.linalg.norm(old - new + shifts, axis=1).min() > CLOSEST_A for old in placed):
            placed.append(new)
    return np.array(placed)


@st.composite
def cases(draw, edges=TINY):
    """1 to 4 species, 1 to 8 atoms, a skewed cell that may be far smaller than the cut-offs, any periodicity."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    species = tuple(int(z) for z in rng.permutation([1, 6, 8, 14, 22, 79])[: draw(st.integers(1, 4))])
    family = draw(st.sampled_from(["species_resolved", "species_weighted"]))
    powers = draw(st.sampled_from([(), (1,), (2,), (1, 2, 3)])) if family == "species_resolved" else ()
    far = draw(st.floats(1.5, 4.5))
    radial, angular = (draw(st.integers(0, 18)), far), (draw(st.integers(0, 18)), far * draw(st.floats(0.4, 1.0)))
    pbc = np.array(draw(st.tuples(*[st.booleans()] * 3)))
    cell = draw(st.sampled_from(edges)) * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    positions = spread_out(rng, draw(st.integers(1, 7)), cell, pbc)
    if not pbc.all() and draw(st.booleans()):
        positions = np.append(positions, positions[:1] + 500.0 * ~pbc, axis=0)  # an atom where nothing else is
    numbers = rng.choice(species, len(positions))  # some species may be absent
    positions = positions + rng.integers(-3, 4, positions.shape) * pbc @ cell  # outside the cell, too
    return Case(positions[None], numbers, cell, pbc, Chebyshev(species, family, *radial, *angular, powers))


def model(case):
    """Networks whose inputs are of the order of one, or tanh would hide what comes in."""
    rng, sizes = np.random.default_rng(3), (case.descriptor.length, 9, 5, 1)
    layers = tuple(
        tuple((rng.normal(0, into**-0.5, (out, into)), rng.normal(0, 0.1, out)) for into, out in itertools.pairwise(sizes))
        for _ in case.descriptor.species
    )
    features = numba_cpu.values(case.descriptor, *case.system)[0]
    scale = np.tile(1 / (0.1 + np.abs(features).max(axis=0)), (len(layers), 1))
    return networks(layers, "tanh", 0 * scale, scale)


def evaluate(case, net, **changed):
    """Energies (B,), forces (B, N, 3) and virial (B, 3, 3) by the chosen loops."""
    case = case._replace(**changed)
    if native.library() is not None:
        energy, _, forces, virial = native.Loops(case.descriptor, net).energy(*case.system)
        return energy, forces, virial
    return in_numba(case, net)


def in_numba(case, net):
    species, plan = kinds(case.descriptor, case.numbers), numba_cpu.plan_of(case.descriptor)
    return evaluate_in_numba(case.positions, species, lattice(case.cell, case.pbc), plan, net, NO_PAIRS)


def same(mine, theirs, tolerance=1e-10):
    return all(np.abs(a - b).max() <= tolerance * (1 + np.abs(b).max()) for a, b in zip(mine, theirs, strict=True))


@pytest.fixture(params=[*HERE, "numba"])
def chosen(request, monkeypatch):
    """Evaluation by one instruction set, or in Numba."""
    monkeypatch.setenv("RENKEI_KERNELS", request.param)
    native.library.cache_clear()
    assert native.backend() == request.param
    yield request.param
    native.library.cache_clear()


def slope(energy_at, step=1e-4):
    """Derivative at 0 by differences of fourth order."""
    far, near, after, beyond = (energy_at(number * step) for number in (-2, -1, 1, 2))
    return (far - 8 * near + 8 * after - beyond) / (12 * step)


def clear_of_cutoffs(case, margin_A=0.01):
    """Whether no pair is so near to a cut-off, where second derivatives jump, that differences step over it."""
    cutoffs = np.array([case.descriptor.radial_cutoff_A, case.descriptor.angular_cutoff_A])
    found = pairs(case.positions[0], case.cell, case.pbc, cutoffs.max() + margin_A).distance
    return not np.any(np.abs(found[:, None] - cutoffs) < margin_A)


@EVERY
@given(case=cases())
def test_forces_and_virial_are_slopes_of_the_energy(chosen, case):
    assume(clear_of_cutoffs(case))
    net, rng = model(case), np.random.default_rng(5)
    _, forces, virial = evaluate(case, net)
    direction, strain = rng.normal(size=case.positions.shape), rng.normal(size=(3, 3))
    moved = slope(lambda h: evaluate(case, net, positions=case.positions + h * direction)[0][0])
    assert moved == pytest.approx(-np.vdot(forces, direction), rel=1e-6, abs=1e-6 * (1 + np.abs(forces).max()))

    def strained(h):
        deformation = np.eye(3) + h * strain
        return evaluate(case, net, positions=case.positions @ deformation, cell=case.cell @ deformation)[0][0]

    if len(case.numbers) == 1 or np.ptp(case.positions) < 100:  # 500 A that are strained move too far for small differences
        assert slope(strained) == pytest.approx(-np.vdot(virial, strain), rel=1e-6, abs=1e-6 * (1 + np.abs(virial).max()))


@EVERY
@given(case=cases())
def test_turned_moved_and_renamed_systems_are_the_same(chosen, case):
    net, rng = model(case), np.random.default_rng(6)
    energy, forces, virial = evaluate(case, net)
    turn, order = np.linalg.qr(rng.normal(size=(3, 3)))[0], rng.permutation(len(case.numbers))
    moved = (case.positions @ turn + rng.uniform(-9, 9, 3))[:, order]
    found = evaluate(case, net, positions=moved, numbers=case.numbers[order], cell=case.cell @ turn)
    assert same(found, (energy, (forces @ turn)[:, order], turn.T @ virial @ turn), 1e-9)


@EVERY
@given(case=cases())
def test_twice_the_cell_has_twice_the_energy(chosen, case):
    assume(case.pbc.any())
    net, axis = model(case), int(np.argmax(case.pbc))
    energy, forces, virial = evaluate(case, net)
    positions = np.concatenate([case.positions, case.positions + case.cell[axis]], axis=1)
    cell = case.cell * np.where(np.arange(3) == axis, 2, 1)[:, None]
    found = evaluate(case, net, positions=positions, numbers=np.tile(case.numbers, 2), cell=cell)
    assert same(found, (2 * energy, np.tile(forces, (1, 2, 1)), 2 * virial), 1e-9)


@pytest.mark.needs_compiled
@EVERY
@given(case=cases())
def test_all_loops_have_the_same_numbers(chosen, case):
    net = model(case)
    assert same(evaluate(case, net), in_numba(case, net))


@EVERY
@given(case=cases(edges=ROOMY))
def test_features_and_products_are_those_of_the_reference_and_transposes(chosen, case):
    backend, rng = numba_cpu if native.library() is None else native.Loops(case.descriptor), np.random.default_rng(7)
    direction = rng.normal(size=case.positions.shape)
    gradient = rng.normal(size=(1, len(case.numbers), case.descriptor.length))
    before = (case.descriptor,) if backend is numba_cpu else ()
    features = backend.values(*before, *case.system)
    pushed = backend.push_forward(*before, *case.system, direction)
    forces, virial = backend.pull_back(*before, *case.system, gradient)
    scale = np.abs(gradient * pushed).sum() + 1
    assert np.vdot(gradient, pushed) == pytest.approx(-np.vdot(forces, direction), abs=1e-12 * scale)
    if len(case.numbers) < 5 and case.cell[0, 0] > 6:  # the reference is slow
        assert same([features], [reference.values(case.descriptor, *case.system)])
        assert same((forces, virial), reference.pull_back(case.descriptor, *case.system, gradient), 1e-9)
