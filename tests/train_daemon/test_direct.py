"""The gradient in closed form against autograd in double precision: activations, depths and mixtures of structures."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from kernels.descriptors import products
from kernels.descriptors.base import Chebyshev
from protocol.records import Structure
from train_daemon import fit
from train_daemon.autograd import AutogradStep
from train_daemon.blocks import CpuMaps
from train_daemon.dataset import Sample
from train_daemon.direct import DirectStep
from train_daemon.library import Library
from train_daemon.losses import AlphaMix, Deepmd, Weighted
from train_daemon.recipe import Recipe, Table, clip
from train_daemon.step import differentiate

WATER = np.array([8, 1, 1])
LOSS = Weighted(energy_weight=0.7)
LOSSES = [LOSS, Weighted(chain_weight=2.0), Deepmd(chain_weight=0.5), AlphaMix(alpha=0.3), AlphaMix(alpha=0.0)]
VIRIAL_LOSSES = [Weighted(virial_weight=1.5), Deepmd(virial_prefactor=(2.0, 0.0)), AlphaMix(alpha=0.3, beta=0.7)]
CRYSTAL = np.array([[2.9, 0.0, 0.0], [0.6, 3.1, 0.0], [-0.2, 0.4, 3.3]])
MIXED = [WATER, [1, 8, 1], [8, 8, 1, 1], [8, 8], [1, 1, 1]]


def samples(rng, species_of, periodic=False):
    """Periodic ones, but the second, have a virial."""
    made = []
    for k, numbers in enumerate(species_of):
        shape, cell = (len(numbers), 3), CRYSTAL if periodic else np.zeros((3, 3))
        structure = Structure(2.0 * rng.random(shape), np.array(numbers), cell, np.full(3, periodic))
        virial = {"virial": rng.standard_normal((3, 3))} if periodic and k != 1 else {}
        made.append(Sample(str(k).encode(), structure, rng.standard_normal(), rng.standard_normal(shape), 1.0, **virial))
    return made


def case(family, activation, hidden, species_of, loss=LOSS, periodic=False, **recipe):
    """Layers and table in double precision, with random everything."""
    rng = np.random.default_rng(7)

    def draw(*shape):
        return torch.tensor(rng.standard_normal(shape) / np.sqrt(shape[-1]))

    descriptor = Chebyshev((1, 8), family, 4, 5.0, 3, 4.0)
    library = Library(descriptor, np.float64)
    members = library.add(samples(rng, species_of, periodic))
    sizes = (descriptor.length, *hidden, 1)
    layers = [[(draw(b, a).requires_grad_(), draw(b).requires_grad_()) for a, b in pairwise(sizes)] for _ in range(2)]
    mixing = None if family == "species_resolved" else torch.from_numpy(products.mixing(descriptor))
    composition = library.composition(np.arange(len(members)))
    table = Table(
        members=members,
        validation=members[:0],
        features=torch.from_numpy(library.features),
        kinds=library.kinds,
        starts=library.starts,
        energies=torch.from_numpy(library.energies),
        forces=torch.from_numpy(library.forces),
        weights=torch.from_numpy(rng.random(len(members))),
        forced=torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0][: len(members)], dtype=torch.float64),
        compositions=torch.from_numpy(np.unique(composition, axis=0, return_inverse=True)[1].reshape(-1)),
        offsets=torch.zeros((2, descriptor.length), dtype=torch.float64),
        slopes=torch.from_numpy(rng.random((2, descriptor.length))),
        mixing=mixing,
        energy_scale=1.0,
        maps=lambda chosen: CpuMaps(library.spots, library.pool, chosen),
        virials=torch.from_numpy(library.virials) if periodic else None,
        virial_known=torch.from_numpy(library.virial_known).double() if periodic else None,
    )
    return layers, table, Recipe(4, 1e-3, 1e-5, loss, activation, 0, **recipe)


def gradient(engine, recipe, chosen, share):
    return differentiate(engine, recipe.loss, np.array(chosen), share)


def compare(layers, table, recipe, batches):
    parts = [part for species in layers for layer in species for part in layer]
    flat = fit.flattened(parts)
    autograd, step = AutogradStep(layers, flat, table, recipe), DirectStep(layers, flat, table, recipe)
    for chosen in batches:
        wanted = gradient(autograd, recipe, chosen, 0.3)
        reference = flat.grad.clone()
        flat.grad.fill_(torch.nan)
        got = gradient(step, recipe, chosen, 0.3)
        np.testing.assert_allclose(got, [float(part) for part in wanted], rtol=1e-12)
        torch.testing.assert_close(flat.grad, reference, rtol=0, atol=1e-10 * max(float(reference.abs().max()), 1.0))
    return step


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "linear", "mtanh", "twist"])
def test_gradients_and_sums_are_those_of_autograd(activation, family):
    step = compare(*case(family, activation, (6, 5), [WATER] * 5), [[3, 0, 4], [1, 2, 0], [2]])
    assert step.uniform


@pytest.mark.parametrize("hidden", [(), (6,), (5, 4, 3)])
def test_any_number_of_layers(hidden):
    compare(*case("species_resolved", "tanh", hidden, [WATER] * 3), [[2, 0]])


def test_structures_of_all_kinds_in_one_minibatch():
    step = compare(*case("species_resolved", "tanh", (6, 5), MIXED), [[0, 1, 2, 3, 4], [4, 1, 3], [3], [2, 0, 1]])
    assert not step.uniform


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_every_loss(loss):
    compare(*case("species_resolved", "twist", (6, 5), MIXED, loss), [[0, 1, 2, 3, 4], [4, 1, 0], [1]])


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
@pytest.mark.parametrize("loss", [*VIRIAL_LOSSES, LOSS], ids=str)
def test_virials(loss, family):
    step = compare(*case(family, "tanh", (6, 5), MIXED, loss, periodic=True), [[0, 1, 2, 3, 4], [4, 0], [1]])
    told = differentiate(step, loss, np.arange(5), 0.3)
    assert told.virial_structures == 4.0
    assert told.virial > 0.0


@pytest.mark.parametrize("loss", VIRIAL_LOSSES, ids=str)
def test_the_gradient_with_a_virial_is_the_slope_of_the_loss(loss):
    layers, table, recipe = case("species_resolved", "tanh", (4,), MIXED[:3], loss, periodic=True)
    flat = fit.flattened([part for species in layers for layer in species for part in layer])
    step, chosen, width = DirectStep(layers, flat, table, recipe), np.array([2, 0, 1]), 1e-6
    differentiate(step, loss, chosen, 0.6)
    slope, place = flat.grad.clone(), flat.detach()
    direction = torch.from_numpy(np.random.default_rng(3).standard_normal(len(place)))
    start, ends = place.clone(), []
    for sign in (width, -width):
        place.copy_(start + sign * direction)
        ends.append(float(differentiate(step, loss, chosen, 0.6).loss))
    assert float(slope @ direction) == pytest.approx((ends[0] - ends[1]) / (2 * width), rel=1e-6)


def test_a_clip_caps_the_gradient_and_leaves_a_short_one():
    gradient = torch.tensor([3.0, -4.0], dtype=torch.float64)
    clip(gradient, 0.0)
    clip(gradient, 5.1)
    assert gradient.tolist() == [3.0, -4.0]
    clip(gradient, 0.1)
    torch.testing.assert_close(gradient, torch.tensor([0.06, -0.08], dtype=torch.float64))


@pytest.mark.parametrize("loss", [*LOSSES, *VIRIAL_LOSSES], ids=str)
def test_steps_are_those_of_autograd(loss):
    extra = {"weight_decay": 0.02, "gradient_clip": 0.3, "periodic": loss in VIRIAL_LOSSES}
    cases = [case("species_resolved", "tanh", (6, 5), [WATER] * 5, loss, **extra) for _ in range(2)]
    flats = [fit.flattened([part for species in layers for layer in species for part in layer]) for layers, _, _ in cases]
    kinds = DirectStep, AutogradStep
    steps = [kind(layers, flat, table, recipe) for kind, flat, (layers, table, recipe) in zip(kinds, flats, cases, strict=True)]
    for number, chosen in enumerate(([0, 3, 1], [4, 2], [1, 0, 2])):
        for step in steps:
            gradient(step, cases[0][2], chosen, 1 / (1 + number))
            clip(step.gradient, cases[0][2].gradient_clip)
            step.update(1e-3 / (1 + number))
    torch.testing.assert_close(*flats, rtol=0, atol=1e-10)
