"""Features and geometry are computed once and keep their places."""

import numpy as np

from kernels.descriptors.base import Chebyshev
from kernels.descriptors.numba_cpu import values
from train_daemon.library import Library

DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 4.0)


def test_it_grows_and_keeps_places(make_training_set):
    library, data = Library(DESCRIPTOR), make_training_set(6)
    np.testing.assert_array_equal(library.add(data.samples[:4]), [0, 1, 2, 3])
    features = library.features
    np.testing.assert_array_equal(library.add(data.samples[2:] + data.samples[:1]), [2, 3, 4, 5, 0])
    np.testing.assert_array_equal(library.features[:12], features)
    structure = data.samples[5].structure
    want = values(DESCRIPTOR, structure.positions[None], structure.numbers, structure.cell, structure.pbc)[0]
    np.testing.assert_array_equal(library.features[15:], want)
    assert len(library.pool.starts) == 7
    np.testing.assert_array_equal(library.starts, 3 * np.arange(7))


def test_compositions_and_rows_of_atoms(make_training_set):
    library = Library(DESCRIPTOR)
    library.add(make_training_set(3).samples)
    np.testing.assert_array_equal(library.composition(np.array([2, 0])), [[2, 1], [2, 1]])
    np.testing.assert_array_equal(library.atoms(np.array([2, 0])), [0, 1, 2, 6, 7, 8])
