"""Known values of the activations, and their slopes against differences."""

import math

import pytest
import torch

from train_daemon.activations import ACTIVATIONS, apply, differentiable, down, down_bent

NAMES = sorted(ACTIVATIONS)


def test_known_values():
    ends = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    values, _ = apply("mtanh", ends.clone())
    torch.testing.assert_close(values, ends, rtol=0, atol=1e-4)  # 1.7159 tanh(2 x / 3) goes through +-1
    values, _ = apply("twist", ends.clone())
    torch.testing.assert_close(values, 1.1 * ends, rtol=0, atol=1e-4)
    assert float(apply("sigmoid", torch.zeros(1))[0]) == 0.5
    assert float(apply("tanh", torch.ones(1, dtype=torch.float64))[0]) == pytest.approx(math.tanh(1))


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_to_the_value_and_the_slope_agree_with_autograd(name):
    x = torch.linspace(-3, 3, 13, dtype=torch.float64).requires_grad_()
    value, slope = differentiable(name, x)
    want = torch.autograd.grad(value.sum(), x, retain_graph=True)[0]
    torch.testing.assert_close(slope.expand_as(x), want, rtol=1e-13, atol=1e-13)
    fast, core = apply(name, x.detach().clone())
    torch.testing.assert_close(fast, value.detach())
    torch.testing.assert_close(down(name, torch.full((1,), 3.0, dtype=torch.float64), core), 3 * want)


@pytest.mark.parametrize("name", NAMES)
def test_the_curvature_is_the_slope_of_the_slope(name):
    draw = torch.Generator().manual_seed(1)
    x, upstream, upper, motion = (torch.randn(7, generator=draw, dtype=torch.float64) for _ in range(4))
    x.requires_grad_()
    value, slope = differentiable(name, x)
    (want,) = torch.autograd.grad((upstream * value + upper * motion * slope).sum(), x)
    _, core = apply(name, x.detach().clone())
    torch.testing.assert_close(down_bent(name, upstream, upper, motion, core), want, rtol=1e-12, atol=1e-12)
