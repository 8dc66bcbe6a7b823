"""The target's values of rings that exploration left without them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.arrays import Array
from sim_daemon.samplers.base import State, copied
from sim_daemon.target import TargetValues

Label = Callable[[Array, Array, Array], TargetValues]  # walkers (A,), positions (A, P, N, 3) A, cells (A, 3, 3) A


def known(state: State, label: Label) -> State:
    """Label all beads of rings that exploration left without energies; where the engine refuses one, go to a refuge instead.

    Exploration labels a few beads of a ring only, so a refused bead may come to light as late as this. A chain must not begin
    there: the target is zero, and whatever comes next would be accepted.
    """
    unknown = np.flatnonzero(np.isnan(state.energies).any(axis=1))
    if not len(unknown):
        return state
    new = copied(state)
    _write(new, unknown, label(unknown, new.positions[unknown], new.cells[unknown]))
    for w in unknown[~np.isfinite(new.energies[unknown]).all(axis=1)]:
        for ring, cell in zip(state.refuges[w][::-1], state.refuge_cells[w][::-1], strict=True):
            new.positions[w], new.cells[w] = ring, cell
            _write(new, np.array([w]), label(np.array([w]), ring[None], cell[None]))
            if np.isfinite(new.energies[w]).all():
                break
    return new


def _write(state: State, walkers: Array, values: TargetValues) -> None:
    state.energies[walkers] = values.energies.reshape(len(walkers), -1)
    state.forces[walkers] = values.forces.reshape(len(walkers), *state.forces.shape[1:])
    if state.stresses is not None:
        state.stresses[walkers] = values.stresses.reshape(len(walkers), -1, 3, 3)
