from itertools import pairwise

import numpy as np
import pytest

from kernels.jit import entry
from kernels.network import ACTIVATIONS, _exponential, energy_and_gradient, networks

FUNCTIONS = {
    "linear": lambda x: x,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "mtanh": lambda x: 1.7159 * np.tanh(2 * x / 3),
    "twist": lambda x: 1.7159 * np.tanh(2 * x / 3) + 0.1 * x,
}


@entry
def run(net, s, features, gradient):
    nodes, slopes = np.empty((net.sizes.shape[1], net.widest)), np.empty((net.sizes.shape[1], net.widest))
    return energy_and_gradient(net, s, features, nodes, slopes, gradient)


@entry
def exponentials(y, result):
    for k in range(y.size):
        result[k] = _exponential(y[k])


def stack(rng, *sizes):
    pairs = pairwise(sizes)
    return tuple((rng.normal(size=(outputs, inputs)) / inputs**0.5, rng.normal(size=outputs)) for inputs, outputs in pairs)


def plainly(layers, function, x):
    for number, (matrix, bias) in enumerate(layers):
        x = matrix @ x + bias
        if number < len(layers) - 1:
            x = function(x)
    return x[0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_and_gradient_of_networks_of_different_shape(activation):
    rng, function = np.random.default_rng(1), FUNCTIONS[activation]
    layers = (stack(rng, 11, 6, 9, 1), stack(rng, 11, 5, 1), stack(rng, 11, 1))
    mean, scale = rng.normal(size=(3, 11)), rng.uniform(0, 2, (3, 11))
    net = networks(layers, activation, mean, scale)
    for s in range(3):
        x, gradient = rng.normal(size=11), np.empty(11)

        def energy(features, s=s):
            return plainly(layers[s], function, (features - mean[s]) * scale[s])

        assert run(net, s, x, gradient) == pytest.approx(energy(x), rel=1e-13)
        steps = 1e-5 * np.eye(11)
        slopes = [(energy(x + step) - energy(x - step)) / 2e-5 for step in steps]
        assert np.allclose(gradient, slopes, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("activation", "height", "line"), [("mtanh", 1, 0), ("twist", 1.1, 0.1)])
def test_modified_tanh_passes_through_one_and_saturates(activation, height, line):
    """mtanh(+-1) = +-1, and far out the slope is that of the straight line alone."""
    layers = (((np.ones((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))),)
    net, gradient = networks(layers, activation, np.zeros((1, 1)), np.ones((1, 1))), np.empty(1)
    assert run(net, 0, np.array([-1.0]), gradient) == pytest.approx(-height, abs=1e-4)
    assert run(net, 0, np.array([60.0]), gradient) == pytest.approx(1.7159 + 60 * line, rel=1e-14)
    assert gradient[0] == pytest.approx(line, abs=1e-15)


def test_saturated_nodes_stay_finite():
    layers = (((np.array([[1e6], [-1e6]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))),)
    net, gradient = networks(layers, "tanh", np.zeros((1, 1)), np.ones((1, 1))), np.empty(1)
    assert run(net, 0, np.array([3.0]), gradient) == 0
    assert gradient[0] == 0


def test_not_a_number_comes_out_as_such():
    rng = np.random.default_rng(2)
    net, gradient = networks((stack(rng, 3, 4, 1),), "tanh", np.zeros((1, 3)), np.ones((1, 3))), np.empty(3)
    assert np.isnan(run(net, 0, np.array([0, np.nan, 1]), gradient))


def test_exponential():
    y = np.concatenate([np.linspace(-40, 40, 4001), [-700, 0, 700, -1e9]])
    result = np.empty(len(y))
    exponentials(y, result)
    assert np.abs(result[:-1] / np.exp(y[:-1]) - 1)[:4001].max() < 2e-14
    assert result[4002] == 1
    assert result[-1] == result[4001] > 0
