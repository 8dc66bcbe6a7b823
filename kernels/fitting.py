"""What a step of a fit needs besides the model, in one pass each: the slopes of the loss, and Adam's update."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.jit import entry

FIRST_DECAY, SECOND_DECAY, FLOOR = 0.9, 0.999, 1e-8  # of Adam, its authors' values


@entry
def loss_slopes(
    chosen: Array,
    starts: Array,
    weights: Array,
    energy_weight: float,
    energies: tuple[Array, Array],
    forces: tuple[Array, Array],
    slopes: tuple[Array, Array],
) -> tuple[float, float, float]:
    """Loss of the chosen structures: mean of weight (energy_weight dE^2 / N + mean square of the error of a force component).

    chosen: (B,).  starts: (n + 1,) first atom of each structure.  weights: (n,).  energies: (B,) found and (n,) wanted.
    forces: (A, 3) found, the chosen one after another, and (all atoms, 3) wanted.  slopes: (B,) and (A, 3), overwritten by the
    derivatives by found energies and forces.  Returns the loss and the sums of (dE / N)^2 and of the forces' mean squared errors.
    """
    loss, energy_sum, force_sum, at = 0.0, 0.0, 0.0, 0
    for b in range(chosen.size):
        s = chosen[b]
        begin, atoms = starts[s], starts[s + 1] - starts[s]
        share = weights[s] / chosen.size
        off, squares = energies[0][b] - energies[1][s], 0.0
        for i in range(atoms):
            for axis in range(3):
                wrong = forces[0][at + i, axis] - forces[1][begin + i, axis]
                squares += wrong * wrong
                slopes[1][at + i, axis] = wrong * (2 * share / (3 * atoms))
        slopes[0][b] = 2 * share * energy_weight * off / atoms
        force = squares / (3 * atoms)
        loss += share * (energy_weight * off * off / atoms + force)
        energy_sum += (off / atoms) ** 2
        force_sum += force
        at += atoms
    return loss, energy_sum, force_sum


@entry
def adam(parameters: Array, gradient: Array, moments: Array, rate: float, count: int) -> None:
    """Adam's update number `count` (from 1), in place.  parameters, gradient: (P,).  moments: (2, P), zero at the start."""
    kind = parameters.dtype.type
    keep, keep_square = kind(FIRST_DECAY), kind(SECOND_DECAY)
    add, add_square, floor = kind(1 - FIRST_DECAY), kind(1 - SECOND_DECAY), kind(FLOOR)
    step = kind(rate / (1 - FIRST_DECAY**count))
    spread = kind(1 / np.sqrt(1 - SECOND_DECAY**count))
    mean, square = moments[0], moments[1]
    for k in range(parameters.size):
        g = gradient[k]
        mean[k] = keep * mean[k] + add * g
        square[k] = keep_square * square[k] + add_square * g * g
        parameters[k] -= step * mean[k] / (np.sqrt(square[k]) * spread + floor)
