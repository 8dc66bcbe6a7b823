"""Validation frames are contiguous blocks; rings stay whole; rare elements stay in training."""

from dataclasses import replace

import numpy as np
import pytest

from renkei.labels import frames as labelled
from renkei.labels.splitting import split


@pytest.fixture
def one(xyz, molecule):
    return labelled.read([xyz(molecule())])[0]


def trajectory(one, length, name="a"):
    return [replace(one, trajectory=name, place=k, source=f"{name}: frame {k}") for k in range(length)]


def runs_of(places):
    return 1 + int(np.sum(np.diff(sorted(places)) > 1))


@pytest.mark.parametrize(("length", "share"), [(1000, 0.1), (200, 0.2), (30, 0.1), (7, 0.3)])
def test_the_share_in_few_blocks(one, length, share):
    training, held = split(trajectory(one, length), share, seed=3)
    assert len(held) == round(share * length)
    assert len(training) + len(held) == length
    assert runs_of([f.place for f in held]) <= max(1, min(10, len(held) // 5))
    assert not {f.place for f in held} & {f.place for f in training}


def test_random_frames_would_fail_the_test_above(one):
    """The mutation: as many frames drawn one by one lie in many more runs."""
    drawn = np.random.default_rng(0).choice(1000, 100, replace=False)
    assert runs_of(drawn.tolist()) > 10


def test_another_seed_other_blocks_the_same_seed_the_same(one):
    frames = trajectory(one, 300)
    sides = [tuple(f.place for f in split(frames, 0.1, seed)[1]) for seed in (1, 1, 2)]
    assert sides[0] == sides[1] != sides[2]


def test_beads_of_a_ring_are_not_parted(one):
    frames = [frame for frame in trajectory(one, 100) for _ in range(4)]
    training, held = split(frames, 0.1, seed=1)
    assert len(held) == 40
    assert not {f.place for f in held} & {f.place for f in training}


def test_short_trajectories_take_turns(one):
    frames = [frame for k in range(40) for frame in trajectory(one, 1, f"t{k}")]
    training, held = split(frames, 0.1, seed=1)
    assert len(held) == 4
    assert len(training) == 36


def test_nothing_is_held_out_of_one_frame_or_with_share_0(one):
    assert split(trajectory(one, 1), 0.5, seed=1)[1] == ()
    assert split(trajectory(one, 50), 0.0, seed=1)[1] == ()


def test_an_element_that_training_lacks_goes_back(one):
    frames = trajectory(one, 20)
    _, held = split(frames, 0.2, seed=1)
    rare = held[0].place
    strange = replace(one.structure, numbers=np.array([8, 1, 9]))
    frames[rare] = replace(frames[rare], structure=strange)
    training, held = split(frames, 0.2, seed=1)
    assert rare in {f.place for f in training}
    assert len(held) == 3
