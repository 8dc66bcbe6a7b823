"""Two digits of the error, and no more of the mean."""

import math

import pytest

from renkei import digits


@pytest.mark.parametrize(
    ("mean", "error", "want"),
    [
        (-563.03712, 0.0042, ("−563.0371", "0.0042")),
        (12.34, 0.96, ("12.34", "0.96")),
        (1234.5, 210.0, ("1234", "210")),
        (0.25, 0.0, ("0.25", "0")),
        (0.25, math.nan, ("0.25", "–")),
        (None, None, ("–", "–")),
        (math.nan, 1.0, ("–", "–")),
    ],
)
def test_with_error(mean, error, want):
    assert digits.with_error(mean, error) == want


def test_pair_and_number():
    assert digits.pair(1.0, 0.25) == "1.00 ± 0.25"
    assert digits.pair(1.0, None) == "1"
    assert digits.number(0.126, ".2f") == "0.13"
    assert digits.number(None, ".2f") == digits.number(math.inf, ".2f") == "–"
