"""What a training takes in, and what it says of it."""

import pytest

from protocol.errors import BadSetting
from renkei.training.material import gather


def test_sides_and_their_warnings(xyz, molecules):
    data, test = xyz(molecules(60)), xyz(molecules(61)[50:], "test.xyz")
    found = gather([data], None, 0.2, test, seed=1)
    assert {name: len(frames) for name, frames in found.sides.items()} == {"training": 48, "validation": 12, "test": 11}
    assert found.species == (1, 8)
    [told] = found.warnings
    assert "is trained on too (10 frames of the test data)" in told


def test_a_file_for_validation_is_taken_whole(xyz, molecules):
    found = gather([xyz(molecules(10))], xyz(molecules(4, seed=2), "v.xyz"), 0.5, None, seed=1)
    assert [len(frames) for frames in found.sides.values()] == [10, 4]
    assert found.warnings == ()


def test_a_test_frame_with_a_stranger_is_refused(xyz, molecule):
    data = xyz([molecule("O2", seed=k) for k in range(9)])
    with pytest.raises(BadSetting, match=r"t\.xyz: frame 1: holds H, but the training data knows O only"):
        gather([data], None, 0.2, xyz([molecule("OH2")], "t.xyz"), seed=1)


def test_too_few_frames(xyz, molecules):
    data = xyz(molecules(1))
    with pytest.raises(BadSetting, match="1 frames leave none for validation; add frames, or say --validation-share 0"):
        gather([data], None, 0.1, None, seed=1)
    assert len(gather([data], None, 0.0, None, seed=1).training) == 1
