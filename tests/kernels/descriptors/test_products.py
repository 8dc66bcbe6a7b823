"""The products on stored geometry against those of numba_cpu, both families, molecule and small triclinic cell."""

import numpy as np
import pytest

from kernels.descriptors import numba_cpu, product_loops, products
from kernels.descriptors.base import Chebyshev, kinds
from kernels.neighbors.numba_cpu import pairs

MOLECULE = (np.zeros((3, 3)), np.zeros(3, dtype=bool))
CRYSTAL = (np.array([[3.1, 0.0, 0.0], [0.7, 2.9, 0.0], [0.3, -0.4, 3.3]]), np.ones(3, dtype=bool))
NUMBERS = np.array([8, 1, 14, 1, 8])


def descriptor(family):
    if family == "bspline":
        return Chebyshev((1, 8, 14), "species_resolved", 5, 4.0, 4, 3.0, basis="bspline")
    return Chebyshev((1, 8, 14), family, 5, 4.0, 4, 3.0)


def case(family, box, count=3, seed=1):
    rng = np.random.default_rng(seed)
    made = descriptor(family)
    positions = 2.5 * rng.random((count, len(NUMBERS), 3)) + 1.0
    spots = products.layout(made)
    places = kinds(made, NUMBERS)
    parts = []
    for one in positions:
        found = pairs(one, *box, made.radial_cutoff_A)
        near = (found.first, found.second, found.vector, found.distance)
        parts.append(products.geometry(spots, near, places, np.float64))
    return made, spots, products.join(parts), positions, rng


@pytest.mark.parametrize("box", [MOLECULE, CRYSTAL])
@pytest.mark.parametrize("family", ["species_resolved", "species_weighted", "bspline"])
def test_both_products_equal_those_of_the_descriptor(family, box):
    made, spots, pool, positions, rng = case(family, box)
    mixing = products.mixing(made)
    chosen = np.array([2, 0])
    gradient = rng.standard_normal((2, len(NUMBERS), made.length))
    direction = rng.standard_normal((2, len(NUMBERS), 3))
    forces, virial = product_loops.pull_back(spots, pool, chosen, gradient.reshape(-1, made.length) @ mixing, True)
    change = product_loops.push_forward(spots, pool, chosen, direction.reshape(-1, 3), np.zeros((0, 3, 3))) @ mixing.T
    want_forces, want_virial = numba_cpu.pull_back(made, positions[chosen], NUMBERS, *box, gradient)
    want_change = numba_cpu.push_forward(made, positions[chosen], NUMBERS, *box, direction)
    np.testing.assert_allclose(forces, want_forces.reshape(-1, 3), rtol=0, atol=1e-11)
    np.testing.assert_allclose(virial, want_virial, rtol=0, atol=1e-11)
    np.testing.assert_allclose(change, want_change.reshape(-1, made.length), rtol=0, atol=1e-11)


def test_push_forward_is_the_change_of_the_features():
    made, spots, pool, positions, rng = case("species_resolved", CRYSTAL, count=1)
    direction = rng.standard_normal((len(NUMBERS), 3))
    step = 1e-5
    strain = rng.standard_normal((3, 3))
    ends = []
    for sign in (step, -step):
        turn = (np.eye(3) + sign * strain).T
        moved = (positions + sign * direction) @ turn
        ends.append(numba_cpu.values(made, moved, NUMBERS, CRYSTAL[0] @ turn, CRYSTAL[1])[0])
    change = product_loops.push_forward(spots, pool, np.array([0]), direction, strain[None])
    np.testing.assert_allclose(change, (ends[0] - ends[1]) / (2 * step), rtol=0, atol=1e-7)


@pytest.mark.parametrize("box", [MOLECULE, CRYSTAL])
def test_the_products_are_transposes_of_each_other(box):
    _, spots, pool, _, rng = case("species_resolved", box)
    chosen = np.array([0, 1, 2])
    gradient = rng.standard_normal((3 * len(NUMBERS), spots.length))
    direction, strain = rng.standard_normal((3 * len(NUMBERS), 3)), rng.standard_normal((3, 3, 3))
    forces, virial = product_loops.pull_back(spots, pool, chosen, gradient, True)
    alone, none = product_loops.pull_back(spots, pool, chosen, gradient, False)
    assert np.array_equal(alone, forces)
    assert none.shape == (0, 3, 3)
    change = product_loops.push_forward(spots, pool, chosen, direction, strain)
    assert np.sum(forces * direction) + np.sum(virial * strain) == pytest.approx(-np.sum(gradient * change), rel=1e-11)


def test_mixing_makes_weighted_features_of_resolved_ones():
    rng = np.random.default_rng(3)
    positions = 2.5 * rng.random((1, len(NUMBERS), 3))
    resolved = Chebyshev((1, 8, 14), "species_resolved", 5, 4.0, 4, 3.0, (1,))
    weighted = descriptor("species_weighted")
    features = numba_cpu.values(resolved, positions, NUMBERS, *MOLECULE)
    want = numba_cpu.values(weighted, positions, NUMBERS, *MOLECULE)
    np.testing.assert_allclose(features @ products.mixing(weighted).T, want, rtol=0, atol=1e-12)
