import json

import numpy as np
import pytest

from protocol import jsontext
from protocol.errors import Torn


def test_numpy_and_not_finite():
    row = {
        "a": np.float64(0.1),
        "b": np.arange(3),
        "c": float("nan"),
        "d": np.inf,
        "e": (np.bool_(True), None, "x"),
        5: np.float32(0.5),
    }
    assert json.loads(jsontext.dumps(row)) == {"a": 0.1, "b": [0, 1, 2], "c": None, "d": None, "e": [True, None, "x"], "5": 0.5}


def test_numbers_come_back_bit_for_bit():
    values = np.random.default_rng(1).normal(size=1000) * 10.0 ** np.arange(-150, 150, 0.3)
    assert jsontext.loads(jsontext.dumps({"v": values}), "")["v"] == values.tolist()


@pytest.mark.parametrize("data", [b"", b"no", b"[1]", b"\xff\xfe", b'{"a":', b"[" * 100000])
def test_anything_else_is_torn(data):
    with pytest.raises(Torn):
        jsontext.loads(data, "x")


@pytest.mark.parametrize("indent", [None, 1])
def test_a_flipped_bit_of_a_sealed_object_is_seen(indent):
    """Wherever it is: the text is refused, or says the same (a flip in the name of the seal leaves it unsealed)."""
    value = {"step": 7, "log_ratio": -0.25, "nested": {"a": [1, 2]}}
    text = jsontext.seal(jsontext.dumps(value, indent))
    assert jsontext.loads(text, "") == value
    assert jsontext.is_sealed(text)
    for position in range(8 * len(text)):
        flipped = bytearray(text)
        flipped[position // 8] ^= 1 << position % 8
        try:
            found = jsontext.loads(bytes(flipped), "")
        except Torn:
            continue
        assert {key: found[key] for key in value} == value


@pytest.mark.parametrize("text", [b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}'])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(Torn):
        jsontext.loads(text, "")
