"""Sides of a fit: validation, displaced copies until there are labels enough, one network's share of a committee."""

import numpy as np

from kernels.descriptors.base import Chebyshev
from train_daemon.augmentation import Augmentation
from train_daemon.committee import bootstrap
from train_daemon.library import Library
from train_daemon.sides import divided

DESCRIPTOR = Chebyshev((1, 8), "species_resolved", 4, 5.0, 3, 4.0)
AUGMENTATION = Augmentation(displacement_A=0.01, weight=0.2, until_structures=20)


def test_plainly_everything_is_trained_on(make_training_set):
    library, data = Library(DESCRIPTOR), make_training_set(12)
    sides = divided(library, data, False, None)
    np.testing.assert_array_equal(sides.members, np.arange(12))
    assert not len(sides.validation)
    assert (sides.weights == 1).all()
    assert (sides.forced == 1).all()


def test_a_watched_fit_trains_on_the_rest(make_training_set):
    library, data = Library(DESCRIPTOR), make_training_set(40)
    library.add(data.samples)
    sides = divided(library, data, True, None)
    np.testing.assert_array_equal(np.sort(np.concatenate([sides.members, sides.validation])), np.arange(40))
    assert len(sides.validation)
    assert len(sides.samples) == len(sides.members)


def test_copies_are_there_until_the_labels_are(make_training_set):
    library = Library(DESCRIPTOR)
    for count, copies in ((19, 19), (20, 0)):
        data = make_training_set(count)
        library.add(data.samples)
        sides = divided(library, data, False, AUGMENTATION)
        assert len(sides.members) == count + copies
        assert sides.forced[sides.members].sum() == count
        np.testing.assert_allclose(sides.weights[sides.members[count:]], 0.2)


def test_a_copy_is_drawn_as_often_as_its_structure_and_what_is_not_drawn_is_left_out(make_training_set):
    library, data = Library(DESCRIPTOR), make_training_set(15)
    library.add(data.samples)
    whole = divided(library, data, False, AUGMENTATION)
    drawn, mine = bootstrap(data.samples, 5, 1), whole.resampled(5, 1)
    assert 0 < (drawn == 0).sum() < 15
    np.testing.assert_array_equal(mine.members, whole.members[np.tile(drawn > 0, 2)])
    np.testing.assert_allclose(mine.weights[whole.members], np.concatenate([drawn, 0.2 * drawn]))
    assert (whole.weights[:15] == 1).all()
