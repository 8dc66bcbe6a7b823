"""States with known numbers."""

import numpy as np
import pytest

from renkei.observables.base import States, System


def make_system(positions, numbers, cell=None, **choices):
    periodic = cell is not None
    facts = {"masses_amu": np.where(np.asarray(numbers) == 1, 1.008, 16.0), "temperature_K": 300.0, "ensemble": "nvt"} | choices
    return System(
        numbers=np.asarray(numbers),
        pbc=np.full(3, periodic),
        first=positions[0, 0],
        first_cell=np.asarray(cell, float) if periodic else np.zeros((3, 3)),
        **facts,
    )


def make_states(positions, cells=None, first=1, **rows):
    shape = positions.shape[:2]
    cells = np.zeros((*shape, 3, 3)) if cells is None else np.broadcast_to(cells, (*shape, 3, 3))
    return States(first + np.arange(shape[0]), positions, cells, {name: np.broadcast_to(v, shape) for name, v in rows.items()})


@pytest.fixture
def system():
    """system(positions (S, W, P, N, 3), numbers, cell, ...) -> what these states have in common."""
    return make_system


@pytest.fixture
def states():
    """states(positions, cells, potential_energy_eV=...) -> States."""
    return make_states


@pytest.fixture
def water():
    """Positions (3, 2, 4, 3, 3) A of one molecule whose beads are apart."""
    shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
    return shape + 0.03 * np.random.default_rng(1).standard_normal((3, 2, 4, 3, 3))
