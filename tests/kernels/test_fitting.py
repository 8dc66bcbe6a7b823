"""Slopes of the loss against its differences, Adam against torch's."""

import numpy as np
import pytest
import torch

from kernels.fitting import adam, loss_slopes

STARTS = np.array([0, 2, 3, 6])
CHOSEN = np.array([2, 0])


def test_the_loss_by_hand_and_its_slopes_by_differences():
    rng = np.random.default_rng(1)
    weights, wanted = np.array([1.0, 0.3, 0.5]), (rng.random(3), rng.random((6, 3)))
    energies, forces = rng.random(2), rng.random((5, 3))

    def run(energies, forces):
        slopes = (np.empty(2), np.empty((5, 3)))
        return loss_slopes(CHOSEN, STARTS, weights, 7.0, (energies, wanted[0]), (forces, wanted[1]), slopes), slopes

    (value, by_energy, by_force), slopes = run(energies, forces)
    off, atoms = energies - wanted[0][CHOSEN], np.array([3, 2])
    means = [np.mean((forces[:3] - wanted[1][3:]) ** 2), np.mean((forces[3:] - wanted[1][:2]) ** 2)]
    assert value == pytest.approx(np.mean(weights[CHOSEN] * (7.0 * off**2 / atoms + means)))
    assert by_energy == pytest.approx(np.sum((off / atoms) ** 2))
    assert by_force == pytest.approx(np.sum(means))
    step = 1e-6
    for array, slope, place in ((energies, slopes[0], 1), (forces, slopes[1], (1, 2)), (forces, slopes[1], (4, 0))):
        ends = []
        for sign in (1, -2):
            array[place] += sign * step
            ends.append(run(energies, forces)[0][0])
        array[place] += step
        assert slope[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7)


def test_adam_is_that_of_torch():
    rng = np.random.default_rng(2)
    start = rng.standard_normal(37)
    theirs, mine, moments = torch.tensor(start, requires_grad=True), start.copy(), np.zeros((2, 37))
    optimiser = torch.optim.Adam([theirs])
    for count in range(1, 6):
        gradient, rate = rng.standard_normal(37), 1e-2 / count
        theirs.grad = torch.from_numpy(gradient)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        adam(mine, gradient, moments, rate, count)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-12)
