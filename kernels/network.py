"""Small dense networks, one per species: value and gradient of one atom, by loops in a fixed order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from kernels.arrays import Array
from kernels.jit import kernel

ACTIVATIONS = ("linear", "tanh", "sigmoid", "mtanh", "twist")  # in the order of aenet's codes
HEIGHT, STEEPNESS, TWIST = 1.7159, 2 / 3, 0.1  # mtanh: HEIGHT tanh(STEEPNESS x); twist: the same + TWIST x


class Networks(NamedTuple):
    """Networks of all species in flat arrays. Each layer's matrix (out, in), by rows, is followed by its bias (out,)."""

    activation: int  # place in ACTIVATIONS; the last layer is linear
    layers: Array  # (species,) int
    sizes: Array  # (species, largest number of layers + 1) int; sizes[s, 0] = F
    widest: int  # largest of the sizes
    begin: Array  # (species,) int, first parameter of a species
    parameters: Array  # (parameters,)
    mean: Array  # (species, F)
    scale: Array  # (species, F); a network sees (feature - mean) * scale


def networks(layers: tuple[tuple[tuple[Array, Array], ...], ...], activation: str, mean: Array, scale: Array) -> Networks:
    """Flatten layers[species][layer] = (matrix (out, in), bias (out,)).  mean, scale: (species, F)."""
    depth = np.array([len(stack) for stack in layers], dtype=np.int64)
    sizes = np.zeros((len(layers), depth.max() + 1), dtype=np.int64)
    for s, stack in enumerate(layers):
        sizes[s, : len(stack) + 1] = [stack[0][0].shape[1], *(len(bias) for _, bias in stack)]
    flat = [np.concatenate([np.concatenate([matrix.ravel(), bias]) for matrix, bias in stack]) for stack in layers]
    begin = np.cumsum([0, *(len(part) for part in flat[:-1])]).astype(np.int64)
    parameters = np.concatenate(flat).astype(np.float64)
    mean, scale = np.array(mean, np.float64), np.array(scale, np.float64)
    return Networks(ACTIVATIONS.index(activation), depth, sizes, int(sizes.max()), begin, parameters, mean, scale)


@kernel
def energy_and_gradient(net: Networks, s: int, features: Array, nodes: Array, slopes: Array, gradient: Array) -> float:
    """Output of species s for one atom, and its derivative by the features, left in `gradient`.

    features, gradient: (F,).  nodes, slopes: (layers + 1, widest) scratch.
    """
    layers, sizes, mean, scale, first = net.layers[s], net.sizes[s], net.mean[s], net.scale[s], nodes[0]
    for k in range(sizes[0]):
        first[k] = (features[k] - mean[k]) * scale[k]
    at = net.begin[s]
    for layer in range(layers):
        length = sizes[layer] * sizes[layer + 1]
        bias = net.parameters[at + length : at + length + sizes[layer + 1]]
        _affine(net.parameters[at : at + length], bias, nodes[layer, : sizes[layer]], nodes[layer + 1])
        if layer < layers - 1:
            _activate(net.activation, nodes[layer + 1, : sizes[layer + 1]], slopes[layer + 1])
        at += length + sizes[layer + 1]
    value, slopes[layers, 0] = nodes[layers, 0], 1.0
    for layer in range(layers - 1, -1, -1):
        length = sizes[layer] * sizes[layer + 1]
        at -= length + sizes[layer + 1]
        target = nodes[layer, : sizes[layer]]
        _transposed(net.parameters[at : at + length], slopes[layer + 1, : sizes[layer + 1]], target)
        slope = slopes[layer]
        for k in range(target.size if layer > 0 else 0):
            slope[k] *= target[k]
    for k in range(sizes[0]):
        gradient[k] = first[k] * scale[k]
    return value


@kernel
def _affine(matrix: Array, bias: Array, source: Array, target: Array) -> None:
    """target = matrix source + bias, four rows at a time.  matrix: (out * in,) by rows."""
    inputs, outputs = source.size, bias.size
    whole = outputs - outputs % 4
    for o in range(0, whole, 4):
        at = o * inputs
        r0, r1 = matrix[at : at + inputs], matrix[at + inputs : at + 2 * inputs]
        r2, r3 = matrix[at + 2 * inputs : at + 3 * inputs], matrix[at + 3 * inputs : at + 4 * inputs]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for k in range(inputs):
            s0 += r0[k] * source[k]
            s1 += r1[k] * source[k]
            s2 += r2[k] * source[k]
            s3 += r3[k] * source[k]
        target[o] = s0 + bias[o]
        target[o + 1] = s1 + bias[o + 1]
        target[o + 2] = s2 + bias[o + 2]
        target[o + 3] = s3 + bias[o + 3]
    for o in range(whole, outputs):
        row, total = matrix[o * inputs : (o + 1) * inputs], 0.0
        for k in range(inputs):
            total += row[k] * source[k]
        target[o] = total + bias[o]


@kernel
def _transposed(matrix: Array, source: Array, target: Array) -> None:
    """target = matrix^T source, four rows at a time.  matrix: (out * in,) by rows."""
    inputs, outputs = target.size, source.size
    for k in range(inputs):
        target[k] = 0.0
    whole = outputs - outputs % 4
    for o in range(0, whole, 4):
        at = o * inputs
        r0, r1 = matrix[at : at + inputs], matrix[at + inputs : at + 2 * inputs]
        r2, r3 = matrix[at + 2 * inputs : at + 3 * inputs], matrix[at + 3 * inputs : at + 4 * inputs]
        a, b, c, d = source[o], source[o + 1], source[o + 2], source[o + 3]
        for k in range(inputs):
            target[k] += (a * r0[k] + b * r1[k]) + (c * r2[k] + d * r3[k])
    for o in range(whole, outputs):
        row, a = matrix[o * inputs : (o + 1) * inputs], source[o]
        for k in range(inputs):
            target[k] += a * row[k]


@kernel
def _activate(activation: int, nodes: Array, slopes: Array) -> None:
    """Apply the activation in place and leave its derivative in `slopes`."""
    if activation == 1:
        for k in range(nodes.size):
            t = 1 - 2 / (_exponential(2 * nodes[k]) + 1)
            nodes[k], slopes[k] = t, 1 - t * t
    elif activation == 2:
        for k in range(nodes.size):
            t = 1 / (1 + _exponential(-nodes[k]))
            nodes[k], slopes[k] = t, t * (1 - t)
    elif activation >= 3:
        line = TWIST if activation == 4 else 0.0
        for k in range(nodes.size):
            t = 1 - 2 / (_exponential(2 * STEEPNESS * nodes[k]) + 1)
            nodes[k], slopes[k] = HEIGHT * t + line * nodes[k], HEIGHT * STEEPNESS * (1 - t * t) + line
    else:
        for k in range(nodes.size):
            slopes[k] = 1.0


@kernel
def _exponential(y: float) -> float:
    """exp y to a few last bits, y clamped to -700..700; without a call, so that loops over it become vector code."""
    y = min(max(y, -700.0), 700.0)
    whole = np.floor(y * 1.4426950408889634 + 0.5)
    r = y - whole * 0.6931471805599453
    series = 1 / 479001600 + r * (1 / 6227020800)
    series = 1 / 39916800 + r * series
    series = 1 / 3628800 + r * series
    series = 1 / 362880 + r * series
    series = 1 / 40320 + r * series
    series = 1 / 5040 + r * series
    series = 1 / 720 + r * series
    series = 1 / 120 + r * series
    series = 1 / 24 + r * series
    series = 1 / 6 + r * series
    series = 1 + r * (1 + r * (0.5 + r * series))
    return series * _power_of_two(whole)


def _power_of_two_code(typing_context: Any, exponent: Any) -> Any:
    """2 ** exponent for a whole float64 within -1022..1023, by writing the exponent's bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        integer = context.get_value_type(types.int64)
        # the sum has the exponent (two's complement) in the low bits of its mantissa
        shifted = builder.fadd(arguments[0], context.get_constant(types.float64, 6755399441055744.0 + 1023))
        bits = builder.shl(builder.bitcast(shifted, integer), context.get_constant(types.int64, 52))
        return builder.bitcast(bits, context.get_value_type(types.float64))

    return types.float64(types.float64), generate


_power_of_two: Any = intrinsic(_power_of_two_code)
