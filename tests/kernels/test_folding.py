"""A folded network is the network: exactly with its functions as they are, to 1e-8 with splines."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from numpy.polynomial.chebyshev import chebder, chebval

from kernels import folding, splines
from kernels.baseline import Baseline, curve
from kernels.descriptors.base import Chebyshev
from kernels.neighbors.reference import pairs
from kernels.potentials import bpnn, kan

RADIAL, ANGULAR = 3.7, 3.1
FAMILIES = [("species_resolved", (1,)), ("species_resolved", ()), ("species_weighted", ())]


@pytest.fixture(params=FAMILIES, ids=str)
def network(request):
    """A network of three species with first layers of three widths."""
    family, powers = request.param
    descriptor, rng = Chebyshev((8, 14, 1), family, 6, RADIAL, 4, ANGULAR, powers), np.random.default_rng(5)
    layers = []
    for width in (7, 5, 6):
        sizes = ((width, descriptor.length), (4, width), (1, 4))
        layers.append(tuple((rng.normal(size=size) / size[1] ** 0.5, rng.normal(size=size[0])) for size in sizes))
    shape = 3, descriptor.length
    walls = Baseline(np.full((3, 3), 0.3), np.full((3, 3), 0.1), 3.0)
    norm = rng.normal(size=shape), rng.uniform(0, 1, shape), rng.normal(size=3)
    return bpnn.BpnnModel(descriptor, tuple(layers), "tanh", *norm, 0.7, walls)


def cut(distance, reach):
    return 0.5 * (1 + np.cos(np.pi * distance / reach)), -0.5 * np.pi / reach * np.sin(np.pi * distance / reach)


def below(model, s, sums):
    """Energy of an atom and its derivative by the sums, in units of the energy scale."""
    hidden = np.tanh(sums + model.bias[s])
    slope = np.diag(1 - hidden**2)
    for matrix, bias in model.layers[s][:-1]:
        hidden = np.tanh(matrix @ hidden + bias)
        slope = (1 - hidden**2)[:, None] * (matrix @ slope)
    matrix, bias = model.layers[s][-1]
    return float((matrix @ hidden + bias)[0]), (matrix @ slope)[0]


def plainly(model, phi, psi, structure):
    """Energy and forces with any functions: phi(s, a, x) and psi(s, power, pair, x) give values and slopes (H,)."""
    positions, numbers, cell, pbc = structure
    kinds, couples = [model.species.index(z) for z in numbers], [(a, b) for a in range(3) for b in range(a, 3)]
    found = pairs(positions, cell, pbc, RADIAL)
    energy, forces = 0.0, np.zeros_like(positions)
    for i, s in enumerate(kinds):
        own = np.flatnonzero((found.first == i) & (found.distance < RADIAL))
        sums, moves = np.zeros(model.functions), []  # moves: atom, derivative of the sums by its place (H, 3)
        for q in own:
            d, unit, j = found.distance[q], found.vector[q] / found.distance[q], found.second[q]
            (f, g), (value, slope) = cut(d, RADIAL), phi(s, kinds[j], 2 * d / RADIAL - 1)
            sums += f * value
            moves.append((j, np.outer(g * value + f * slope * 2 / RADIAL, unit), i))
            value, slope = curve(d, model.baseline.repulsion[s, kinds[j]], model.baseline.attraction[s, kinds[j]], 3.0)
            energy += 0.5 * value
            forces[j] -= 0.5 * slope * unit
            forces[i] += 0.5 * slope * unit
        for p, q in combinations([q for q in own if found.distance[q] < ANGULAR], 2):
            (d, e), (u, v) = found.distance[[p, q]], found.vector[[p, q]] / found.distance[[p, q]][:, None]
            (f, df), (g, dg), x = cut(d, ANGULAR), cut(e, ANGULAR), u @ v
            couple = couples.index(tuple(sorted((kinds[found.second[p]], kinds[found.second[q]]))))
            for place, power in enumerate(model.powers):
                value, slope = psi(s, place, couple, x)
                sums += (f * g) ** power * value
                lower = power * (f * g) ** (power - 1)
                bend = (f * g) ** power * slope
                moves.append((found.second[p], np.outer(lower * df * g * value, u) + np.outer(bend, (v - x * u) / d), i))
                moves.append((found.second[q], np.outer(lower * f * dg * value, v) + np.outer(bend, (u - x * v) / e), i))
        own_energy, gradient = below(model, s, sums)
        energy += model.energy_scale_eV * own_energy + model.reference_eV[s]
        for j, move, centre in moves:
            forces[j] -= model.energy_scale_eV * gradient @ move
            forces[centre] += model.energy_scale_eV * gradient @ move
    return energy, forces


def of_series(exact):
    """phi and psi of Chebyshev series."""

    def at(table, x):
        return chebval(x, table), chebval(x, chebder(table))

    return lambda s, a, x: at(exact.radial[s, a], x), lambda s, power, couple, x: at(exact.angular[s, power, couple], x)


def of_splines(model):
    """phi and psi of a model's tables."""

    def at(table, x):
        value, slope = splines.evaluate(table, np.array([x]))
        return value[0], slope[0]

    return lambda s, a, x: at(model.radial[s, a], x), lambda s, power, couple, x: at(model.angular[s, power, couple], x)


@pytest.mark.parametrize("intervals", [3, 400])
def test_long_and_short_tables_are_summed_alike(network, silica, intervals):
    """Short ones are gone through once for all neighbours, long ones looked up for each."""
    positions, numbers, cell, pbc = silica
    folded = folding.fold(network, intervals)
    here = kan.Kan(folded, 0).evaluate(positions[:1], numbers, cell, pbc)
    energy, forces = plainly(folded, *of_splines(folded), (positions[0], numbers, cell, pbc))
    assert energy == pytest.approx(here.energy[0], rel=1e-12)
    assert np.allclose(forces, here.forces[0], rtol=0, atol=1e-11 * np.abs(forces).max())


def test_the_functions_of_the_first_layer_give_the_same_energies_and_forces(network, silica):
    positions, numbers, cell, pbc = silica
    there = bpnn.Bpnn(network, 0).evaluate(positions[:1], numbers, cell, pbc)
    folded = folding.with_functions(network, folding.series(network))  # its own functions are not used here
    energy, forces = plainly(folded, *of_series(folding.series(network)), (positions[0], numbers, cell, pbc))
    assert energy == pytest.approx(there.energy[0], rel=1e-12)
    assert np.allclose(forces, there.forces[0], rtol=0, atol=1e-12 * np.abs(there.forces).max())


def test_splines_of_the_default_number_of_knots_are_good_to_1e_8(network, silica):
    there, here = (potential.evaluate(*silica) for potential in (bpnn.Bpnn(network, 0), kan.Kan(folding.fold(network), 0)))
    assert np.allclose(here.energy, there.energy, rtol=1e-8)
    assert np.allclose(here.forces, there.forces, rtol=0, atol=1e-8 * np.abs(there.forces).max())
    assert (here.stress is None) == (there.stress is None)
    assert here.stress is None or np.allclose(here.stress, there.stress, rtol=0, atol=1e-8 * np.abs(there.stress).max())
    coarse = kan.Kan(folding.fold(network, 40), 0).evaluate(*silica)
    assert not np.allclose(coarse.forces, there.forces, rtol=0, atol=1e-8 * np.abs(there.forces).max())


def test_narrow_first_layers_are_filled_up_with_nothing(network):
    exact = folding.series(network)
    assert exact.bias.shape == (3, 7)
    assert not exact.radial[1, ..., 5:].any()
    assert not exact.angular[2, ..., 6:].any()
    assert exact.radial[1, ..., :5].all()


def test_a_network_without_a_hidden_layer_is_refused(network):
    linear = tuple(((stack[-1][0][:, :1] @ np.ones((1, network.descriptor.length)), stack[-1][1]),) for stack in network.layers)
    with pytest.raises(ValueError, match="without a hidden layer"):
        folding.fold(replace(network, layers=linear))
