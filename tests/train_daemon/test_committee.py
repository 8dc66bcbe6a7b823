"""The mean of networks is one network; bootstrap numbers are Poisson, and keep when data grow."""

from itertools import pairwise

import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from kernels.potentials.bpnn import Bpnn, BpnnModel
from train_daemon.committee import bootstrap, mean
from train_daemon.dataset import Sample

DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 4.0)
BOX = (np.array([8, 1, 1]), np.zeros((3, 3)), np.zeros(3, dtype=bool))


def drawn(seed, hidden, activation):
    rng = np.random.default_rng(seed)
    sizes = (DESCRIPTOR.length, *hidden, 1)
    layers = tuple(
        tuple((rng.standard_normal((b, a)) / np.sqrt(a), rng.standard_normal(b)) for a, b in pairwise(sizes)) for _ in range(2)
    )
    shared = np.random.default_rng(0)
    norm = shared.random((2, DESCRIPTOR.length)), shared.random((2, DESCRIPTOR.length)), shared.random(2)
    return BpnnModel(DESCRIPTOR, layers, activation, *norm, 1.7)


def named(count):
    return [Sample(str(k).encode(), None, 0.0, None, 1.0) for k in range(count)]


@pytest.mark.parametrize(("hidden", "activation"), [((5,), "tanh"), ((5, 4), "sigmoid"), ((4, 3, 6), "tanh")])
def test_the_mean_is_one_network(hidden, activation):
    networks = [drawn(seed, hidden, activation) for seed in (1, 2, 3)]
    positions = np.random.default_rng(4).random((5, 3, 3)) * 2.0
    alone = [Bpnn(network, 0).evaluate(positions, *BOX) for network in networks]
    together = Bpnn(mean(networks), 0).evaluate(positions, *BOX)
    np.testing.assert_allclose(together.energy, np.mean([one.energy for one in alone], axis=0), rtol=1e-12)
    np.testing.assert_allclose(together.forces, np.mean([one.forces for one in alone], axis=0), atol=1e-11)


def test_one_network_is_its_own_mean():
    network = drawn(1, (5,), "tanh")
    assert mean([network]) is network


def test_bootstrap_numbers_are_poisson_and_differ_between_members():
    samples = named(20_000)
    one, other = (bootstrap(samples, 7, member) for member in (0, 1))
    assert abs(one.mean() - 1) < 4.5 / np.sqrt(20_000)
    assert abs(np.mean(one == 0) - np.exp(-1)) < 4.5 * 0.482 / np.sqrt(20_000)
    assert abs(np.mean((one - 1) * (other - 1))) < 4.5 / np.sqrt(20_000)


def test_a_structure_keeps_its_number_as_the_data_grow():
    np.testing.assert_array_equal(bootstrap(named(50), 7, 2), bootstrap(named(90), 7, 2)[:50])


def test_nothing_drawn_means_everything():
    samples = named(90)
    never = [sample for sample, count in zip(samples, bootstrap(samples, 7, 0), strict=True) if count == 0]
    assert len(never) > 10
    np.testing.assert_array_equal(bootstrap(never, 7, 0), np.ones(len(never)))
