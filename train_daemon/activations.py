"""Activations of the networks, y = height core(rate x) + tilt x, with a core of which value and slope are bounded.

Slopes need the core's value alone: tanh' = 1 - tanh^2, sigmoid' = sigmoid - sigmoid^2. mtanh and twist are those of aenet.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

from kernels.network import HEIGHT, STEEPNESS, TWIST


class Activation(NamedTuple):
    """Shape of one activation; the core `none` leaves tilt x."""

    core: Literal["tanh", "sigmoid", "none"]
    height: float = 1.0
    rate: float = 1.0
    tilt: float = 0.0


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation("tanh"),
    "sigmoid": Activation("sigmoid"),
    "linear": Activation("none", tilt=1.0),
    "mtanh": Activation("tanh", HEIGHT, STEEPNESS),
    "twist": Activation("tanh", HEIGHT, STEEPNESS, TWIST),
}


def apply(name: str, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and cores of a layer's sums, which may be overwritten; no gradient.  sums: (n, out).  Returns (n, out) twice."""
    shape = ACTIVATIONS[name]
    if shape.core == "none":
        return sums, sums
    scaled = sums if shape.rate == 1 and not shape.tilt else sums * shape.rate
    core = scaled.tanh_() if shape.core == "tanh" else scaled.sigmoid_()
    if shape.tilt:
        return sums.mul_(shape.tilt).add_(core, alpha=shape.height), core
    return core if shape.height == 1 else core * shape.height, core


def differentiable(name: str, sums: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values and slopes of a layer's sums, both with their history.  sums: (n, out).  Returns (n, out) twice."""
    shape = ACTIVATIONS[name]
    if shape.core == "none":
        return sums, torch.ones_like(sums)
    scaled = sums if shape.rate == 1 else sums * shape.rate
    core = torch.tanh(scaled) if shape.core == "tanh" else torch.sigmoid(scaled)
    slope = 1 - core * core if shape.core == "tanh" else core - core * core
    if shape.height == shape.rate == 1 and not shape.tilt:
        return core, slope
    return shape.height * core + shape.tilt * sums, shape.height * shape.rate * slope + shape.tilt


def down(name: str, upstream: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """Upstream times the slope.  upstream: (n, out) or (1, out).  core: (n, out).  Returns (n, out)."""
    shape = ACTIVATIONS[name]
    if shape.core == "none":
        return upstream.expand_as(core)
    result = _curved(shape, upstream, core)
    return result.add_(upstream, alpha=shape.tilt) if shape.tilt else result


def down_bent(name: str, upstream: torch.Tensor, upper: torch.Tensor, motion: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """Upstream times the slope plus upper times motion times the curvature.

    upstream: (n, out), overwritten.  upper: (n, out) or (1, out).  motion, core: (n, out).  Returns (n, out).
    The curvature is the slope's curved part times -2 rate tanh, or times rate (1 - 2 sigmoid).
    """
    shape = ACTIVATIONS[name]
    if shape.core == "none":
        return upstream
    straight = upstream * shape.tilt if shape.tilt else None
    if shape.core == "tanh":
        upstream.addcmul_(upper, motion * core, value=-2 * shape.rate)
    else:
        upstream.addcmul_(upper, motion * (1 - 2 * core), value=shape.rate)
    result = _curved(shape, upstream, core)
    return result if straight is None else result.add_(straight)


def _curved(shape: Activation, upstream: torch.Tensor, core: torch.Tensor) -> torch.Tensor:
    """Upstream times the slope of height core(rate x), from the core's values."""
    tanh = shape.core == "tanh"
    result = torch.ops.aten.tanh_backward(upstream, core) if tanh else torch.ops.aten.sigmoid_backward(upstream, core)
    strength = shape.height * shape.rate
    return result if strength == 1 else result.mul_(strength)
