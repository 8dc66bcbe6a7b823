import numpy as np
import pytest

from kernels.descriptors.base import Chebyshev
from sim_daemon.moves.novelty import BINS, FEWEST_SCORES, SCORES, add, descriptor_for, nothing_seen, remember, score, threshold

KINDS = np.array([0, 0, 1])
DESCRIPTOR = Chebyshev((8, 14), "species_resolved", 1, 4.0, 0, 3.0, (1,))


def some(count, scale=1.0, seed=1):
    return scale * np.random.default_rng(seed).normal(size=(count, len(KINDS), DESCRIPTOR.length))


def test_everything_is_new_to_nothing_and_what_was_added_is_known():
    seen = nothing_seen(DESCRIPTOR)
    structures = some(40)
    assert score(seen, KINDS, structures[0]) == 1.0
    seen = add(seen, KINDS, structures)
    assert max(score(seen, KINDS, s) for s in structures) == 0.0


def test_outside_of_the_range_is_new_by_the_share_of_its_features():
    seen = add(nothing_seen(DESCRIPTOR), KINDS, some(400))
    strange = some(400)[7]
    strange[1, 2] = 50.0
    assert score(seen, KINDS, strange) == pytest.approx(1 / DESCRIPTOR.length)
    strange[2] = -50.0
    assert score(seen, KINDS, strange) == 1.0
    strange[2] = np.nan
    assert score(seen, KINDS, strange) == 1.0


def test_a_gap_inside_the_range_is_new():
    """Two kinds of environment and nothing between them: a range or a covariance would call the middle known."""
    structures = some(200, 0.05)
    structures[::2] += 10.0
    seen = add(nothing_seen(DESCRIPTOR), KINDS, structures)
    assert score(seen, KINDS, np.full((3, DESCRIPTOR.length), 5.0)) == 1.0
    assert score(seen, KINDS, structures[3]) == 0.0


def test_species_have_histograms_of_their_own():
    structures = some(100)
    structures[:, 2] += 30.0
    seen = add(nothing_seen(DESCRIPTOR), KINDS, structures)
    exchanged = structures[0][[2, 1, 0]]
    assert score(seen, KINDS, exchanged) == 1.0


@pytest.mark.parametrize("far", [1e3, -1e3])
def test_a_wider_range_joins_bins_and_forgets_nothing(far):
    early = some(50)
    seen = add(nothing_seen(DESCRIPTOR), KINDS, early)
    before = seen.width.copy()
    seen = add(seen, KINDS, np.full((1, 3, DESCRIPTOR.length), far))
    assert (seen.width > before).all()
    assert seen.occupied.shape[-1] == BINS
    assert max(score(seen, KINDS, s) for s in early) == 0.0
    assert score(seen, KINDS, np.full((3, DESCRIPTOR.length), far)) == 0.0


def test_what_is_not_finite_is_not_learned():
    seen = add(nothing_seen(DESCRIPTOR), KINDS, np.full((1, 3, DESCRIPTOR.length), np.nan))
    assert not seen.occupied.any()
    assert np.isfinite(seen.low).all()


def test_the_threshold_is_nine_tenths_of_the_newest_scores():
    seen = nothing_seen(DESCRIPTOR)
    assert threshold(remember(seen, [0.5] * (FEWEST_SCORES - 1))) == 0.0
    seen = remember(remember(seen, [9.0] * 10), np.linspace(0, 1, SCORES).tolist())
    assert len(seen.scores) == SCORES
    assert threshold(seen) == pytest.approx(0.9)


def test_the_descriptor_reaches_as_far_as_the_surrogate():
    made = descriptor_for(np.array([14, 8, 8]), 5.0)
    assert (made.species, made.radial_cutoff_A) == ((8, 14), 5.0)
    assert descriptor_for(np.array([14]), 0.0).radial_cutoff_A > 0
