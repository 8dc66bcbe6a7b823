"""A Chebyshev network as a Kolmogorov-Arnold potential: its first layer, being linear, is a set of functions of one variable.

sum_m W_qm T_m(x) = phi_q(x),   so   W (features - mean) * scale + b  =  D + bias   with D of kernels/kan_model.py
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.polynomial.chebyshev import chebder, chebval

from kernels.arrays import Array
from kernels.descriptors.products import mixing
from kernels.kan_model import KanModel
from kernels.potentials.bpnn import BpnnModel
from kernels.splines import coefficients, grid

INTERVALS = 4096  # of a folded model; the error falls with the fourth power, that of forces with the third


class Series(NamedTuple):
    """The functions of a first layer as sums over basis functions m; S species, H functions of each kind, P powers."""

    radial: Array  # (S, S, m, H)
    angular: Array  # (S, P, pairs, m, H)
    bias: Array  # (S, H)


def series(model: BpnnModel) -> Series:
    """The first layer of each species; narrower ones are filled up with functions that are 0.

    Raises ValueError for a network without a hidden layer.
    """
    d, count = model.descriptor, len(model.descriptor.species)
    if any(len(stack) < 2 for stack in model.layers):
        raise ValueError("a network without a hidden layer has no functions to fold")
    width, resolve = max(len(stack[0][1]) for stack in model.layers), mixing(d)
    first, bias = np.zeros((count, width, resolve.shape[1])), np.zeros((count, width))
    for s, stack in enumerate(model.layers):
        matrix = stack[0][0] * model.scale[s]
        first[s, : len(matrix)] = matrix @ resolve
        bias[s, : len(matrix)] = stack[0][1] - matrix @ model.mean[s]
    long, short = d.radial_order + 1, d.angular_order + 1
    radial = first[:, :, : count * long].reshape(count, width, count, long)
    angular = first[:, :, count * long :].reshape(count, width, len(d.powers), -1, short)
    return Series(radial.transpose(0, 2, 3, 1), angular.transpose(0, 2, 3, 4, 1), bias)


def fold(model: BpnnModel, intervals: int = INTERVALS) -> KanModel:
    """The same potential with tables of splines on so many intervals; those that a basis of B-splines has are kept as they are.

    Raises ValueError as `series` does.
    """
    exact = series(model)
    if model.descriptor.basis == "bspline":
        return with_functions(model, exact)
    return with_functions(model, exact._replace(radial=table(exact.radial, intervals), angular=table(exact.angular, intervals)))


def table(exact: Array, intervals: int) -> Array:
    """Coefficients (..., intervals + 3, H) of the splines through Chebyshev series (..., m, H), with their slopes at the ends."""
    *outer, terms, width = exact.shape
    flat = np.moveaxis(exact, -2, 0).reshape(terms, -1)
    low, high = chebval(np.array([-1.0, 1.0]), chebder(flat)).T
    found = coefficients(chebval(grid(intervals), flat).T, low, high)
    return np.ascontiguousarray(np.moveaxis(found.reshape(-1, *outer, width), 0, -2))


def with_functions(model: BpnnModel, splines: Series) -> KanModel:
    """A potential with these functions, as coefficients of splines, and all layers of `model` but the first."""
    d, width = model.descriptor, splines.bias.shape[1]
    layers = []
    for stack in model.layers:
        matrix, bias = stack[1]
        wide = np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))
        layers.append(((wide, bias), *stack[2:]))
    return KanModel(
        d.species,
        d.radial_cutoff_A,
        d.angular_cutoff_A,
        d.powers,
        *splines,
        tuple(layers),
        model.activation,
        np.asarray(model.reference_eV),
        float(model.energy_scale_eV),
        model.baseline,
        model.charges,
    )
