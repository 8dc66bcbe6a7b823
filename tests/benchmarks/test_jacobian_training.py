"""The trainer that stores Jacobians is the project's in another way: the same derivatives, loss and gradient."""

import numpy as np
import pytest
import torch

from benchmarks import jacobian_training, stored_jacobian
from kernels.descriptors import reference
from kernels.descriptors.base import Chebyshev
from protocol.records import Structure
from train_daemon.dataset import Sample, TrainingSet
from train_daemon.learners import chebyshev_bpnn

SMALL = {"radial": {"order": 5, "cutoff_A": 4.5}, "angular": {"order": 3, "cutoff_A": 3.5}, "hidden": (6, 5), "batch": 3}


def oxide(rng, atoms):
    """A few atoms of O and Ti in a cell so small that they see their own images."""
    cell = np.diag([3.1, 3.5, 3.9]) + rng.uniform(-0.4, 0.4, (3, 3))
    grid = np.array([[0, 0, 0], [1, 1, 0], [1, 0, 1], [0, 1, 1]])[:atoms] / 2
    positions = (grid + rng.uniform(-0.06, 0.06, grid.shape)) @ cell
    return Structure(positions, np.array([22, 8, 8, 22])[:atoms], cell, np.ones(3, dtype=bool))


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    structures = [oxide(rng, atoms) for atoms in (4, 3, 4, 2)]
    samples = (
        Sample(str(k).encode(), s, rng.normal(), rng.normal(size=(len(s.numbers), 3)), 1.0) for k, s in enumerate(structures)
    )
    return TrainingSet(tuple(samples), (8, 22))


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
def test_derivatives_push_forward_as_the_reference_does(family, merged):
    rng = np.random.default_rng(4)
    descriptor, structure = Chebyshev((8, 22), family, 5, 4.5, 3, 3.5), oxide(rng, 4)
    direction = rng.normal(size=(4, 3))
    found = stored_jacobian.derivatives(descriptor, structure, merged)
    moves = torch.from_numpy(direction)[found.second] - torch.from_numpy(direction)[found.first]
    change = torch.zeros((4, descriptor.length), dtype=torch.float64)
    change.index_add_(0, found.first, torch.einsum("mcf,mc->mf", found.slopes, moves))
    box = (structure.numbers, structure.cell, structure.pbc)
    wanted = reference.push_forward(descriptor, structure.positions[None], *box, direction[None])[0]
    np.testing.assert_allclose(change, wanted, rtol=0, atol=1e-11 * np.abs(wanted).max())
    assert len(found.first) <= 16 if merged else len(found.first) > 16


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_loss_and_gradient_are_those_of_the_projects_trainer(data, family, merged, alpha):
    changes = {"family": family, "loss": {"name": "alpha_mix", "alpha": alpha}}
    settings = chebyshev_bpnn.Settings.model_validate(SMALL | changes)
    blob = jacobian_training.first_model(settings, data)
    off = jacobian_training.apart(settings, data, blob, merged)
    assert off["loss"] < 2e-6
    assert off["gradient"] < 2e-5


def test_both_take_steps_and_tell_their_figures(data):
    settings = chebyshev_bpnn.Settings.model_validate(SMALL)
    blob = jacobian_training.first_model(settings, data)
    figures = [jacobian_training.ours(settings, data, blob, 0.01), jacobian_training.stored(settings, data, blob, 0.01, False)]
    for told in figures:
        assert told.keys() == {"epoch_s", "preparing_s", "memory_MiB"}
        assert 0 < told["epoch_s"] < 60


def test_steps_with_stored_derivatives_lower_the_loss(data):
    settings = chebyshev_bpnn.Settings.model_validate(SMALL)
    model = jacobian_training.build(settings).restore(jacobian_training.first_model(settings, data))
    trainer = jacobian_training.trainer_of(settings, model, data.samples, False)
    losses = [trainer.epoch() for _ in range(20)]
    assert losses[-1] < 0.9 * losses[0]
