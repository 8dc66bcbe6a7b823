import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev, kinds


def test_lengths():
    assert Chebyshev((22, 8), "species_weighted", 20, 6.5, 6, 5.0).length == 56
    assert Chebyshev((6,), "species_weighted", 20, 6.5, 6, 5.0).length == 28
    assert Chebyshev((8, 1), "species_resolved", 15, 6.0, 8, 4.0).length == 2 * 16 + 2 * 3 * 9


def test_default_powers():
    assert Chebyshev((8, 1), "species_resolved", 1, 6.0, 1, 4.0).powers == (1, 3)
    assert Chebyshev((8, 1), "species_weighted", 1, 6.0, 1, 4.0).powers == (1,)


@pytest.mark.parametrize(("count", "weights"), [(2, [-1, 1]), (3, [-1, 0, 1]), (4, [-2, -1, 1, 2]), (5, [-2, -1, 0, 1, 2])])
def test_weights_follow_the_place_in_the_species_list(count, weights):
    radial, angular = Chebyshev(tuple(range(1, count + 1)), "species_weighted", 1, 6.0, 1, 4.0).mixing
    assert radial.tolist() == [[1] * count, weights]
    assert angular[1].tolist() == [weights[a] * weights[b] for a in range(count) for b in range(a, count)]


def test_no_two_features_share_a_column():
    for family in ("species_resolved", "species_weighted"):
        descriptor = Chebyshev((8, 1, 14), family, 4, 6.0, 2, 4.0)
        radial, angular = descriptor.places
        columns = [place + m for place in radial for m in range(5)] + [place + m for place in angular.ravel() for m in range(3)]
        assert sorted(columns) == list(range(descriptor.length))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"species": ()}, "species"),
        ({"species": (8, 8)}, "species"),
        ({"family": "other"}, "family"),
        ({"radial_order": -1}, "orders"),
        ({"angular_cutoff_A": 7.0}, "cut-off"),
        ({"angular_cutoff_A": 0.0}, "cut-off"),
        ({"radial_cutoff_A": float("nan")}, "cut-off"),
        ({"powers": (0,)}, "powers"),
        ({"powers": (1, 3), "family": "species_weighted"}, "powers"),
        ({"basis": "sine"}, "basis"),
        ({"basis": "bspline"}, "orders of at least 3"),
        ({"basis": "bspline", "angular_order": 3, "family": "species_weighted", "powers": (1,)}, "species_resolved"),
    ],
)
def test_impossible_settings_are_refused(change, word):
    good = {
        "species": (8, 1),
        "family": "species_resolved",
        "radial_order": 3,
        "radial_cutoff_A": 6.0,
        "angular_order": 2,
        "angular_cutoff_A": 4.0,
    }
    with pytest.raises(ValueError, match=word):
        Chebyshev(**(good | change))


def test_unknown_species_are_named():
    descriptor = Chebyshev((8, 1), "species_resolved", 1, 6.0, 1, 4.0)
    assert kinds(descriptor, np.array([1, 8, 1])).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"\[6, 14\].*\[8, 1\]"):
        kinds(descriptor, np.array([14, 8, 6]))
