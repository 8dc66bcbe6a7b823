"""What a step of a fit needs besides the model, in one pass each: the residuals, the slopes of the forces, and Adam's update."""

from __future__ import annotations

import numpy as np

from kernels.arrays import Array
from kernels.jit import entry

FIRST_DECAY, SECOND_DECAY, FLOOR = 0.9, 0.999, 1e-8  # of Adam, its authors' values


@entry
def residuals(
    chosen: Array, starts: Array, energies: tuple[Array, Array], forces: tuple[Array, Array], wrong: tuple[Array, Array, Array]
) -> None:
    """Found minus wanted of the chosen structures.

    chosen: (B,).  starts: (n + 1,) first atom of each structure.  energies: (B,) found and (n,) wanted.
    forces: (A, 3) found, the chosen one after another, and (all atoms, 3) wanted.
    wrong: overwritten by the energies' residuals (B,), each structure's mean square of a force component's residual (B,), and
    the forces' residuals (A, 3).
    """
    at = 0
    for b in range(chosen.size):
        s = chosen[b]
        begin, atoms = starts[s], starts[s + 1] - starts[s]
        squares = 0.0
        for i in range(atoms):
            for axis in range(3):
                off = forces[0][at + i, axis] - forces[1][begin + i, axis]
                squares += off * off
                wrong[2][at + i, axis] = off
        wrong[0][b] = energies[0][b] - energies[1][s]
        wrong[1][b] = squares / (3 * atoms)
        at += atoms


@entry
def force_slopes(chosen: Array, starts: Array, by_square: Array, wrong: Array) -> None:
    """Turn the forces' residuals (A, 3), in place, into the loss's derivatives by the forces.

    by_square: (B,) the loss's derivative by each chosen structure's mean square of a force component's residual.
    """
    at = 0
    for b in range(chosen.size):
        atoms = starts[chosen[b] + 1] - starts[chosen[b]]
        factor = 2 * by_square[b] / (3 * atoms)
        for i in range(atoms):
            for axis in range(3):
                wrong[at + i, axis] *= factor
        at += atoms


@entry
def adam(parameters: Array, gradient: Array, moments: Array, rate: float, count: int, decay: float) -> None:
    """Update number `count` (from 1) of AdamW, in place; without decay it is Adam.

    parameters, gradient: (P,).  moments: (2, P), zero at the start.  decay: what a step of rate 1 would take of a parameter.
    """
    kind = parameters.dtype.type
    keep, keep_square = kind(FIRST_DECAY), kind(SECOND_DECAY)
    add, add_square, floor = kind(1 - FIRST_DECAY), kind(1 - SECOND_DECAY), kind(FLOOR)
    shrink = kind(1 - rate * decay)
    step = kind(rate / (1 - FIRST_DECAY**count))
    spread = kind(1 / np.sqrt(1 - SECOND_DECAY**count))
    mean, square = moments[0], moments[1]
    for k in range(parameters.size):
        g = gradient[k]
        mean[k] = keep * mean[k] + add * g
        square[k] = keep_square * square[k] + add_square * g * g
        parameters[k] = shrink * parameters[k] - step * mean[k] / (np.sqrt(square[k]) * spread + floor)
