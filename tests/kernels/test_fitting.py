"""Residuals by hand, slopes of forces by differences, AdamW against torch's."""

import numpy as np
import pytest
import torch

from kernels.fitting import adam, force_slopes, residuals

STARTS = np.array([0, 2, 3, 6])
CHOSEN = np.array([2, 0])


def test_residuals_by_hand_and_slopes_by_differences():
    rng = np.random.default_rng(1)
    wanted = rng.random(3), rng.random((6, 3))
    energies, forces, by_square = rng.random(2), rng.random((5, 3)), np.array([0.7, 1.9])

    def run(forces):
        wrong = np.empty(2), np.empty(2), np.empty((5, 3))
        residuals(CHOSEN, STARTS, (energies, wanted[0]), (forces, wanted[1]), wrong)
        return wrong

    off, squares, slopes = run(forces)
    np.testing.assert_array_equal(off, energies - wanted[0][CHOSEN])
    np.testing.assert_array_equal(slopes, forces - wanted[1][[3, 4, 5, 0, 1]])
    np.testing.assert_allclose(squares, [np.mean(slopes[:3] ** 2), np.mean(slopes[3:] ** 2)], rtol=1e-14)
    force_slopes(CHOSEN, STARTS, by_square, slopes)
    step = 1e-6
    for place in ((1, 2), (2, 0), (4, 0)):
        ends = []
        for sign in (1, -1):
            moved = forces.copy()
            moved[place] += sign * step
            ends.append(by_square @ run(moved)[1])
        assert slopes[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-7)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_is_that_of_torch(decay):
    rng = np.random.default_rng(2)
    start = rng.standard_normal(37)
    theirs, mine, moments = torch.tensor(start, requires_grad=True), start.copy(), np.zeros((2, 37))
    optimiser = torch.optim.AdamW([theirs], weight_decay=decay)
    for count in range(1, 6):
        gradient, rate = rng.standard_normal(37), 1e-2 / count
        theirs.grad = torch.from_numpy(gradient)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
        adam(mine, gradient, moments, rate, count, decay)
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-12)


def test_the_first_step_of_adam_has_the_size_of_the_rate():
    parameters, gradient = np.array([1.0, -2.0]), np.array([3.0, -1e-3])
    adam(parameters, gradient, np.zeros((2, 2)), 0.01, 1, 0.0)
    np.testing.assert_allclose(parameters, [0.99, -1.99], atol=1e-6)
