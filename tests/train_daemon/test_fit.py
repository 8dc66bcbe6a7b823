"""The choice of the device, the learning rate, and the same step on both backends."""

import numpy as np
import pytest
import torch

from protocol.errors import EnvironmentFailed
from train_daemon import autograd, fit
from train_daemon.blocks import CpuMaps, DevicePool
from train_daemon.learners import chebyshev_bpnn
from train_daemon.learners.base import LearnerContext
from train_daemon.losses import Weighted
from train_daemon.recipe import Recipe, cosine_rate
from train_daemon.sides import divided

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


def test_energies_and_forces_are_the_same_on_both_backends(make_training_set):
    settings = chebyshev_bpnn.Settings(radial={"order": 5, "cutoff_A": 4.0}, angular={"order": 3, "cutoff_A": 3.0})
    learner, data = chebyshev_bpnn.build(settings, LearnerContext("cpu", 1, 0)), make_training_set(6)
    model = learner.start(data)
    library, _ = learner._kept(data)
    table = learner._table(model.network, divided(library, data, False, None))
    plain = chebyshev_bpnn.replace(table, maps=DevicePool(library.spots, library.pool, "cpu").maps)
    layers = [[tuple(torch.tensor(part, dtype=torch.float32) for part in layer) for layer in s] for s in model.network.layers]
    chosen = np.array([4, 0, 5])
    assert isinstance(table.maps(chosen), CpuMaps)
    one, other = (autograd.predict(layers, case, chosen, "tanh") for case in (table, plain))
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1], other[1], rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(one[2], [12, 13, 14, 0, 1, 2, 15, 16, 17])
