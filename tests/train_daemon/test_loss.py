"""The loss against numbers by hand."""

import pytest
import torch

from train_daemon.loss import Target, loss


def test_terms_and_weights():
    target = Target(
        energies=torch.tensor([1.0, 2.0]),
        forces=torch.zeros(3, 3),
        weights=torch.tensor([1.0, 0.5]),
        atoms=torch.tensor([2.0, 1.0]),
        owner=torch.tensor([0, 0, 1]),
    )
    forces = torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    value, sums = loss(torch.tensor([3.0, 2.5]), forces, target, energy_weight=10.0)
    first = 10.0 * 4.0 / 2 + 5.0 / 6
    second = 0.5 * (10.0 * 0.25 + 9.0 / 3)
    assert float(value) == pytest.approx((first + second) / 2)
    assert float(sums.energy) == pytest.approx(1.0 + 0.25)
    assert float(sums.force) == pytest.approx(5.0 / 6 + 3.0)
