"""The choice of the device, the learning rate, and the same step on both backends."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kernels.native import library as library_of_kernels
from protocol.errors import EnvironmentFailed
from train_daemon import autograd, fit, library
from train_daemon.blocks import CpuMaps, DevicePool
from train_daemon.compiled_maps import CompiledMaps
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import LearnerContext
from train_daemon.losses import Weighted
from train_daemon.recipe import Recipe, cosine_rate
from train_daemon.sides import divided
from train_daemon.tables import table_of

RECIPE = Recipe(16, 3e-3, 1e-5, Weighted(), "tanh", 0)


def test_the_device_is_chosen_and_explained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fit.choose_device("auto") == ("cpu", f"auto: torch {torch.__version__} sees no CUDA device")
    assert fit.choose_device("cpu")[0] == "cpu"
    with pytest.raises(EnvironmentFailed, match="sees no CUDA device"):
        fit.choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    assert fit.choose_device("auto") == ("cuda", "auto: found a card")


def test_the_learning_rate_falls_along_a_cosine():
    assert cosine_rate(RECIPE, 0.0) == pytest.approx(3e-3)
    assert cosine_rate(RECIPE, 0.5) == pytest.approx((3e-3 + 1e-5) / 2)
    assert cosine_rate(RECIPE, 1.0) == pytest.approx(1e-5)


@pytest.mark.parametrize("family", ["species_resolved", "species_weighted"])
def test_energies_and_forces_are_the_same_on_all_backends(make_training_set, monkeypatch, family):
    functions = {"radial": {"order": 5, "cutoff_A": 4.0}, "angular": {"order": 3, "cutoff_A": 3.0}, "family": family}
    settings, context, data = chebyshev_bpnn.Settings(**functions), LearnerContext("cpu", 1, 0), make_training_set(6)
    fast = chebyshev_bpnn.build(settings, context)
    model = fast.start(data)
    monkeypatch.setattr(library, "compiled_pool", lambda descriptor, folder: None)
    slow = chebyshev_bpnn.build(settings, context)
    libraries = [own._kept(data)[0] for own in (slow, fast)]
    tables = [table_of(kept, model.network, divided(kept, data, False, None), "cpu") for kept in libraries]
    tables.append(replace(tables[0], maps=DevicePool(libraries[0].spots, libraries[0].pool, "cpu").maps))
    layers = [[tuple(torch.tensor(part, dtype=torch.float32) for part in layer) for layer in s] for s in model.network.layers]
    chosen = np.array([4, 0, 5])
    assert isinstance(tables[0].maps(chosen), CpuMaps)
    assert isinstance(tables[1].maps(chosen), CompiledMaps if library_of_kernels() else CpuMaps)
    virials = {"virials": torch.zeros((6, 3, 3)), "virial_known": torch.ones(6)}
    (one, rows), *others = (autograd.predict(layers, replace(table, **virials), chosen, "tanh") for table in tables)
    for other, _ in others:
        torch.testing.assert_close(one.energies, other.energies)
        torch.testing.assert_close(one.forces, other.forces, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(one.virials, other.virials, rtol=1e-4, atol=1e-5)
    assert autograd.predict(layers, tables[0], chosen, "tanh")[0].virials is None
    np.testing.assert_array_equal(rows, [12, 13, 14, 0, 1, 2, 15, 16, 17])
