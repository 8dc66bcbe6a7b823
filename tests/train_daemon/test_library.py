"""Features and geometry are computed once and keep their places."""

from dataclasses import replace

import numpy as np
import pytest

from kernels.baseline import Baseline, curve
from kernels.descriptors.base import Chebyshev
from kernels.descriptors.numba_cpu import values
from kernels.neighbors.numba_cpu import pairs
from protocol.errors import EnvironmentFailed
from train_daemon import library as library_file
from train_daemon.learners.base import LearnerContext
from train_daemon.library import Below, Library, library_of

DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 4.0)


def test_it_grows_and_keeps_places(make_training_set):
    library, data = Library(DESCRIPTOR), make_training_set(6)
    np.testing.assert_array_equal(library.add(data.samples[:4]), [0, 1, 2, 3])
    features = library.features.copy()
    np.testing.assert_array_equal(library.add(data.samples[2:] + data.samples[:1]), [2, 3, 4, 5, 0])
    np.testing.assert_array_equal(library.features[:12], features)
    structure = data.samples[5].structure
    want = values(DESCRIPTOR, structure.positions[None], structure.numbers, structure.cell, structure.pbc)[0]
    np.testing.assert_allclose(library.features[15:], want - library.shifts[library.kinds[15:]], atol=1e-5)
    assert len(library.pool.starts) == 7
    np.testing.assert_array_equal(library.starts, 3 * np.arange(7))


def test_compositions_and_rows_of_atoms(make_training_set):
    library = Library(DESCRIPTOR)
    library.add(make_training_set(3).samples)
    np.testing.assert_array_equal(library.composition(np.array([2, 0])), [[2, 1], [2, 1]])
    np.testing.assert_array_equal(library.atoms(np.array([2, 0])), [0, 1, 2, 6, 7, 8])


def test_pieces_and_one_take_give_the_same(make_training_set, monkeypatch):
    data = make_training_set(9)
    whole, pieces = Library(DESCRIPTOR), Library(DESCRIPTOR)
    whole.add(data.samples)
    monkeypatch.setattr(library_file, "CHUNK_ATOMS", 7)
    pieces.add(data.samples)
    np.testing.assert_array_equal(pieces.starts, whole.starts)
    np.testing.assert_allclose(
        pieces.features + pieces.shifts[pieces.kinds], whole.features + whole.shifts[whole.kinds], atol=1e-5
    )
    for mine, theirs in zip(pieces.pool, whole.pool, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_moments_are_those_of_all_features_at_once(make_training_set, monkeypatch):
    library = Library(DESCRIPTOR, np.float64)
    library.add(make_training_set(8).samples)
    monkeypatch.setattr(library_file, "CHUNK_ATOMS", 5)
    rows = library.atoms(np.array([0, 3, 4, 7]))
    mean, spread = library.moments(rows)
    for kind in (0, 1):
        features = (library.features + library.shifts[library.kinds])[rows[library.kinds[rows] == kind]]
        np.testing.assert_allclose(mean[kind], features.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(spread[kind], features.std(axis=0), atol=1e-12)


def test_scratch_that_takes_no_file_is_named(tmp_path):
    for device in ("cpu", "cuda"):
        with pytest.raises(EnvironmentFailed, match=r"absent.*set trainer\.scratch to another folder"):
            library_of(DESCRIPTOR, Below(), LearnerContext(device, 1, 0, tmp_path / "absent"), device)


def test_virials_are_kept_with_who_has_one_and_without_the_two_body_part(make_training_set):
    samples = make_training_set(3).samples
    walls = Baseline(np.array([[4.0, 2.0], [2.0, 8.0]]), np.array([[1.0, 0.5], [0.5, 3.0]]), DESCRIPTOR.radial_cutoff_A)
    virials = [two_body_virial(sample.structure, walls) for sample in samples]
    library = Library(DESCRIPTOR, below=Below(with_pairs=True))
    library.add((samples[0], replace(samples[1], virial=virials[1] + np.eye(3)), samples[2]))
    np.testing.assert_array_equal(library.virial_known, [False, True, False])
    np.testing.assert_array_equal(library.virials_above(None)[[0, 2]], np.zeros((2, 3, 3)))
    np.testing.assert_allclose(library.virials_above(walls)[1], np.eye(3), atol=1e-10 * np.abs(virials[1]).max())


def two_body_virial(structure, walls):
    """Minus the slope of the energy by strain, pair by pair."""
    found = pairs(structure.positions, structure.cell, structure.pbc, walls.cutoff_A)
    place = (structure.numbers == 8).astype(int)
    total = np.zeros((3, 3))
    for first, second, vector, distance in zip(found.first, found.second, found.vector, found.distance, strict=True):
        which = place[first], place[second]
        slope = curve(distance, walls.repulsion[which], walls.attraction[which], walls.cutoff_A)[1]
        total -= 0.5 * slope * np.outer(vector, vector) / distance
    return total
