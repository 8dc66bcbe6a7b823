import csv

import numpy as np
import pytest

from kernels.descriptors import native, numba_cpu, reference
from kernels.descriptors.base import Chebyshev

OPEN = np.zeros((3, 3)), np.zeros(3, bool)
FAMILIES = [
    ("species_resolved", ()),
    ("species_resolved", (2, 1, 4)),
    ("species_weighted", ()),
    ("bspline", ()),
    ("bspline", (2, 1, 4)),
]
FAST = [pytest.param(numba_cpu, id="numba_cpu"), pytest.param(native, id="native", marks=pytest.mark.needs_compiled)]


@pytest.fixture(params=FAST)
def backend(request):
    return request.param


def chebyshev(family="species_resolved", powers=(), species=(8, 14, 1)):
    if family == "bspline":
        return Chebyshev(species, "species_resolved", 7, 3.7, 5, 3.1, powers, "bspline")
    return Chebyshev(species, family, 7, 3.7, 5, 3.1, powers)


@pytest.mark.parametrize("backend", [reference, *FAST])
def test_golden_values_of_three_species(backend):
    descriptor = Chebyshev((1, 2, 3), "species_weighted", 2, 4.0, 1, 3.0)
    positions = np.array([[[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 2.5]]])
    golden = [1.662211674411, -0.349612124342, -1.196852693637, 0.254487298108, 0]
    golden += [-0.544895106776, 0.503941266251, 0.156700696956, -0.050240473581, 0]
    features = backend.values(descriptor, positions, np.array([3, 1, 2, 3]), *OPEN)
    assert np.allclose(features[0, 0], golden, rtol=0, atol=2e-12)


@pytest.mark.parametrize("backend", [reference, *FAST])
def test_golden_values_of_titanium_oxide(backend):
    descriptor = Chebyshev((22, 8), "species_weighted", 20, 6.5, 6, 5.0)
    positions = np.array([[[0, 0, 0], [1.9, 0.1, -0.2], [-0.3, 2.0, 0.4], [0.5, -0.6, 2.8]]])
    features = backend.values(descriptor, positions, np.array([22, 8, 8, 22]), *OPEN)[0, 0]
    golden = {
        0: [2.1552611557, -0.6731950017, -1.6648108531, 1.6428846224],
        21: [0.9243201900, -0.0434020056, -0.9105665537, 0.1277942281],
        28: [0.9901868199, -0.5501948313, -0.5257074643],
        49: [-0.0590638761, -0.0553218897, 0.0678386106],
    }
    for column, numbers in golden.items():
        assert np.allclose(features[column : column + len(numbers)], numbers, rtol=0, atol=2e-10)


@pytest.mark.parametrize(
    ("table", "structure", "species", "orders"),
    [
        ("water_features.csv", "water.xyz", (8, 1), (10, 4.0, 3, 1.5)),
        ("aucu_features.csv", "aucu.xyz", (79, 29), (5, 3.5, 5, 3.5)),
        ("lmnto_features.csv", "lmnto.xyz", (3, 42, 28, 22, 8), (10, 4.0, 3, 1.5)),
        ("lmnto_features_r12c6.0_a6c4.0.csv", "lmnto.xyz", (3, 42, 28, 22, 8), (12, 6.0, 6, 4.0)),
        ("aucu_features_r12c6.0_a6c4.0.csv", "aucu.xyz", (79, 29), (12, 6.0, 6, 4.0)),
    ],
)
def test_features_of_aenet(backend, aenet_reference, table, structure, species, orders):
    if aenet_reference is None:
        return  # the header of the test run says so
    from ase.io import read

    atoms = read(aenet_reference / structure, format="extxyz")
    with (aenet_reference / table).open() as lines:
        want = np.array(list(csv.reader(lines)), dtype=float)
    descriptor = Chebyshev(species, "species_weighted", *orders)
    features = backend.values(descriptor, atoms.positions[None], atoms.numbers, atoms.cell.array, atoms.pbc)
    assert want.shape == features[0].shape
    assert np.allclose(features[0], want, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("family", "powers"), FAMILIES)
def test_same_numbers_as_the_reference(backend, silica, family, powers):
    positions, numbers, cell, pbc = silica
    descriptor, rng = chebyshev(family, powers), np.random.default_rng(11)
    batch = positions[:1], numbers, cell, pbc
    gradient, direction = rng.normal(size=(1, 6, descriptor.length)), rng.normal(size=(1, 6, 3))
    assert np.allclose(backend.values(descriptor, *batch), reference.values(descriptor, *batch), rtol=1e-10, atol=1e-12)
    for mine, theirs in zip(
        backend.pull_back(descriptor, *batch, gradient), reference.pull_back(descriptor, *batch, gradient), strict=True
    ):
        assert np.allclose(mine, theirs, rtol=1e-10, atol=1e-11)
    mine = backend.push_forward(descriptor, *batch, direction)
    assert np.allclose(mine, reference.push_forward(descriptor, *batch, direction), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("family", "powers"), FAMILIES)
def test_the_products_are_transposes(backend, silica, family, powers):
    positions, numbers, cell, pbc = silica
    descriptor, rng = chebyshev(family, powers), np.random.default_rng(12)
    gradient, direction = rng.normal(size=(3, 6, descriptor.length)), rng.normal(size=positions.shape)
    pushed = backend.push_forward(descriptor, positions, numbers, cell, pbc, direction)
    forces, _ = backend.pull_back(descriptor, positions, numbers, cell, pbc, gradient)
    assert np.vdot(gradient, pushed) == pytest.approx(-np.vdot(forces, direction), rel=1e-12)


def test_many_neighbours_need_several_blocks(backend):
    """A cluster of 40 atoms has 741 triplets at each, more than one block holds."""
    rng = np.random.default_rng(4)
    positions = rng.uniform(0, 2.4, (1, 40, 3))
    descriptor = Chebyshev((1, 2), "species_resolved", 2, 5.0, 3, 5.0)
    numbers = rng.choice([1, 2], 40)
    features = backend.values(descriptor, positions, numbers, *OPEN)
    vectors = np.delete(positions[0], 7, axis=0) - positions[0, 7]
    vectors = vectors[np.delete(numbers, 7) == 2]
    distance = np.linalg.norm(vectors, axis=1)
    cutoff, units = (np.cos(np.pi * distance / 5) + 1) / 2, vectors / distance[:, None]
    upper = np.triu_indices(len(units), 1)
    angles = np.arccos((units @ units.T)[upper])
    by_hand = np.cos(np.arange(4) * angles[:, None]).T @ np.outer(cutoff, cutoff)[upper]
    assert np.allclose(features[0, 7, 6 + 8 : 6 + 12], by_hand, rtol=1e-12)
    direction = rng.normal(size=positions.shape)
    gradient = rng.normal(size=features.shape)
    pushed = backend.push_forward(descriptor, positions, numbers, *OPEN, direction)
    quotient = backend.values(descriptor, positions + 1e-6 * direction, numbers, *OPEN)
    quotient -= backend.values(descriptor, positions - 1e-6 * direction, numbers, *OPEN)
    assert np.vdot(gradient, pushed) == pytest.approx(np.vdot(gradient, quotient) / 2e-6, rel=1e-6)
    forces, _ = backend.pull_back(descriptor, positions, numbers, *OPEN, gradient)
    assert np.vdot(gradient, pushed) == pytest.approx(-np.vdot(forces, direction), rel=1e-11)


@pytest.mark.parametrize(("family", "powers"), FAMILIES)
def test_value_and_first_derivative_vanish_at_the_cutoffs(backend, family, powers):
    """An atom that crosses a cut-off at speed 1 changes the features by (pi h / 2R)^2 at a distance h, and no faster."""
    descriptor, numbers = chebyshev(family, powers, (8, 1)), np.array([8, 1, 1])
    for radius in (3.7, 3.1):
        place = np.array([[[0, 0, 0], [0, 0.9, 0], [0, 0, radius]]])
        speed = np.array([[[0, 0, 0], [0, 0, 0], [0, 0, 1.0]]])
        for h in (1e-4, 1e-6):
            inside, outside = (backend.values(descriptor, place + sign * h * speed, numbers, *OPEN) for sign in (-1, 1))
            slopes = [backend.push_forward(descriptor, place + sign * h * speed, numbers, *OPEN, speed) for sign in (-1, 1)]
            smooth = 2 * h * np.abs(np.stack(slopes)).max()
            assert np.abs(inside - outside).max() <= smooth + 20 * h * h
            assert np.abs(slopes[0] - slopes[1]).max() < 200 * h
    alone = backend.values(descriptor, np.array([[[0, 0, 0], [0, 0, 3.7]]]), numbers[:2], *OPEN)
    assert np.abs(alone).max() < 1e-15


def test_species_order_matters_in_the_weighted_family(backend, silica):
    positions, numbers, cell, pbc = silica
    one, other = (
        backend.values(chebyshev("species_weighted", (), species), positions, numbers, cell, pbc)
        for species in ((8, 14, 1), (14, 8, 1))
    )
    half = one.shape[2] // 2
    assert np.allclose(one[..., :half], other[..., :half], rtol=1e-12)
    assert np.abs(one[..., half:] - other[..., half:]).max() > 0.1


def test_bits_do_not_depend_on_the_batch(backend, silica):
    positions, numbers, cell, pbc = silica
    descriptor, rng = chebyshev(), np.random.default_rng(13)
    gradient, direction = rng.normal(size=(3, 6, descriptor.length)), rng.normal(size=positions.shape)
    together = (
        backend.values(descriptor, positions, numbers, cell, pbc),
        *backend.pull_back(descriptor, positions, numbers, cell, pbc, gradient),
        backend.push_forward(descriptor, positions, numbers, cell, pbc, direction),
    )
    for b in reversed(range(3)):
        one = slice(b, b + 1)
        alone = (
            backend.values(descriptor, positions[one], numbers, cell, pbc),
            *backend.pull_back(descriptor, positions[one], numbers, cell, pbc, gradient[one]),
            backend.push_forward(descriptor, positions[one], numbers, cell, pbc, direction[one]),
        )
        assert all(np.array_equal(many[b], few[0]) for many, few in zip(together, alone, strict=True))


def test_positions_that_are_not_finite_give_nan_and_spoil_nothing_else(backend, silica):
    positions, numbers, cell, pbc = silica
    descriptor, broken = chebyshev(), positions.copy()
    broken[1, 2, 0] = np.nan
    features = backend.values(descriptor, broken, numbers, cell, pbc)
    assert np.isnan(features[1]).all()
    assert np.array_equal(features[[0, 2]], backend.values(descriptor, positions, numbers, cell, pbc)[[0, 2]])
    forces, virial = backend.pull_back(descriptor, broken, numbers, cell, pbc, np.ones_like(features))
    assert np.isnan(forces[1]).all()
    assert np.isnan(virial[1]).all()
    assert np.isnan(backend.push_forward(descriptor, broken, numbers, cell, pbc, positions)[1]).all()


def test_wrong_shapes_and_species_are_refused(backend, silica):
    positions, numbers, cell, pbc = silica
    with pytest.raises(ValueError, match="gradient has shape"):
        backend.pull_back(chebyshev(), positions, numbers, cell, pbc, np.zeros((3, 6, 2)))
    with pytest.raises(ValueError, match="direction has shape"):
        backend.push_forward(chebyshev(), positions, numbers, cell, pbc, np.zeros((3, 5, 3)))
    with pytest.raises(ValueError, match=r"\[14\]"):
        backend.values(chebyshev(species=(8, 1)), positions, numbers, cell, pbc)


def test_arguments_may_be_read_only_and_strided(backend, silica):
    positions, numbers, cell, pbc = silica
    frozen = np.repeat(positions, 2, axis=0)[::2]
    for array in (frozen, cell, pbc, numbers):
        array.setflags(write=False)
    plain = backend.values(chebyshev(), positions, numbers, cell, pbc)
    assert np.array_equal(backend.values(chebyshev(), frozen, numbers, cell, pbc), plain)
