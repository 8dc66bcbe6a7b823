import pytest

from protocol.duration import duration_s
from protocol.errors import BadSetting


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5min", 90), ("2h", 7200), ("1d", 86400), ("1:30:00", 5400), ("2:05", 125), ("10 s", 10)]
)
def test_lengths_of_time(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "10 parsec", "1:75"])
def test_nonsense_is_one_sentence(text):
    with pytest.raises(BadSetting, match="length of time"):
        duration_s(text)
