"""What leaves a fit: the moving average by its formula, the best by a given list of losses."""

import pytest
import torch

from train_daemon.exported import WARM_UP, Exported


def walk(exported, flat, values):
    for value in values:
        flat.fill_(value)
        exported.stepped()


def test_without_an_average_the_parameters_leave_as_they_are():
    flat = torch.tensor([1.0])
    exported = Exported(flat, 0.0)
    walk(exported, flat, [4.0, 9.0])
    assert float(exported.weights()) == 9.0


def test_the_average_is_that_of_the_formula():
    flat = torch.tensor([1.0], dtype=torch.float64)
    exported, want = Exported(flat, 0.5), 1.0
    for step, value in enumerate(values := [3.0, -2.0, 5.0, 7.0, 1.0] * 5, 1):
        decay = min(0.5, step / (step + WARM_UP))
        want = decay * want + (1 - decay) * value
    walk(exported, flat, values)
    assert float(exported.weights()) == pytest.approx(want, rel=1e-12)
    assert float(flat) == 1.0  # training goes on from its own parameters
    exported.leave()
    assert float(flat) == pytest.approx(want)


def test_the_average_of_noise_about_a_point_is_nearer_to_it():
    draw, flat = torch.Generator().manual_seed(0), torch.full((200,), 5.0)
    exported = Exported(flat, 0.98)
    for _ in range(600):
        flat.copy_(2.0 + torch.randn(200, generator=draw))
        exported.stepped()
    off = (exported.weights() - 2.0).square().mean()
    assert 0.5 < float(off) / (0.02 / 1.98) < 1.5  # variance of an exponential average: (1 - mu) / (1 + mu)


def test_the_best_is_remembered_and_judged_in_the_parameters_place():
    flat, seen = torch.tensor([0.0]), []
    exported = Exported(flat, 0.0)
    for value, loss in ((1.0, 3.0), (2.0, 1.0), (3.0, 2.0), (4.0, float("nan"))):
        flat.fill_(value)

        def judge(loss=loss):
            seen.append(float(flat))
            return loss

        exported.look(judge)
    assert seen == [1.0, 2.0, 3.0, 4.0]
    assert (float(exported.weights()), exported.best_loss, exported.stale) == (2.0, 1.0, 2)
    exported.leave()
    assert float(flat) == 2.0
