"""Engines and structures for the tests of this folder."""

import numpy as np
import pytest

from protocol.records import Structure
from sim_daemon.engines.base import EngineContext, load


@pytest.fixture
def build(tmp_path):
    """build("tblite", charge=1, method=...) -> Engine."""

    def make(name, charge=0, multiplicity=1, ranks=1, **settings):
        module = load(name)
        return module.build(module.Settings(**settings), EngineContext(charge, multiplicity, tmp_path / "scratch", ranks))

    return make


def molecule(numbers, positions):
    return Structure(np.array(positions, float), np.array(numbers), np.zeros((3, 3)), np.zeros(3, bool))


@pytest.fixture
def water():
    """Minimum of GFN2-xTB."""
    return molecule([8, 1, 1], WATER)


@pytest.fixture
def tetramer():
    return molecule([8, 1, 1] * 4, TETRAMER)


@pytest.fixture
def zundel():
    return molecule(ZUNDEL_NUMBERS, ZUNDEL)


@pytest.fixture
def silicon():
    """Two atoms of silicon, one of them displaced."""
    cell = 2.715 * (np.ones((3, 3)) - np.eye(3))
    return Structure(np.array([[0, 0, 0], [1.4075, 1.3775, 1.3275]]), np.array([14, 14]), cell, np.ones(3, bool))


WATER = [  # A
    [0.0, -0.0, -0.06368202],
    [0.77218943, 0.0, 0.5053813],
    [-0.77218943, 0.0, 0.5053813],
]
TETRAMER = [  # A
    [1.89942616, -0.11179439, 0.04218363],
    [1.3278044, 0.68748601, -0.00868564],
    [2.38134993, -0.03899758, 0.86728149],
    [0.11179439, 1.89942616, -0.04218363],
    [-0.68748601, 1.3278044, 0.00868564],
    [0.03899758, 2.38134993, -0.86728149],
    [-1.89942616, 0.11179439, 0.04218363],
    [-1.3278044, -0.68748601, -0.00868564],
    [-2.38134993, 0.03899758, 0.86728149],
    [-0.11179439, -1.89942616, -0.04218363],
    [0.68748601, -1.3278044, 0.00868564],
    [-0.03899758, -2.38134993, -0.86728149],
]
ZUNDEL_NUMBERS = [8, 8, 1, 1, 1, 1, 1]
ZUNDEL = [  # A
    [-1.22914016, 3.524e-05, 0.0248292],
    [1.22912831, -5.774e-05, -0.02482909],
    [9.745e-05, -4.959e-05, -7.798e-05],
    [-1.60120207, 0.7889713, 0.44887961],
    [-1.60136554, -0.78837239, 0.44973665],
    [1.60133408, 0.78857646, -0.44933723],
    [1.60132422, -0.78876875, -0.44920271],
]
