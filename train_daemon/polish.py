"""The end of a fit on all structures at once: L-BFGS."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize

from kernels.arrays import Array
from train_daemon.losses import Sums

CHUNK = 256  # structures that are differentiated together; the loss is the mean over the chunks, by their sizes
HISTORY = 20  # pairs of steps and changes of the gradient that stand for the curvature


def chunks(members: Array) -> list[Array]:
    """The structures in pieces of nearly equal size.  members: (m,)."""
    return np.array_split(members, -(-len(members) // CHUNK))


def polish(
    differentiate: Callable[[Array, float], Sums], flat: torch.Tensor, members: Array, steps: int, stop: Callable[[], bool]
) -> None:
    """At most `steps` iterations on the parameters `flat` (P,), in place; never to a larger loss.

    differentiate: leaves the gradient of some structures' loss, its schedule at its end, in flat.grad.  members: (m,).
    stop: asked after every iteration.
    """
    place, gradient = flat.detach(), flat.grad
    assert gradient is not None

    def value_and_slope(parameters: Array) -> tuple[float, Array]:
        place.copy_(torch.from_numpy(parameters))
        value, slope = 0.0, np.zeros(len(parameters))
        for chunk in chunks(members):
            part = len(chunk) / len(members)
            value += part * float(differentiate(chunk, 0.0).loss)
            slope += part * gradient.cpu().numpy()
        return value, slope

    def after_iteration(intermediate_result: object) -> None:
        if stop():
            raise StopIteration

    start = place.cpu().numpy().astype(np.float64)
    options = {"maxiter": steps, "maxfun": 20 * steps, "maxcor": HISTORY, "ftol": 0.0, "gtol": 0.0}
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", callback=after_iteration, options=options)
    place.copy_(torch.from_numpy(found.x if found.fun <= value_and_slope(start)[0] else start))
