import h5py
import numpy as np
import pytest

from protocol import checkpoint
from protocol.errors import ProtocolError, Torn

STATE = {
    "positions": np.random.default_rng(1).normal(size=(2, 3, 3)),
    "float32": np.float32([1, 2]),
    "empty": np.zeros((0, 3)),
    "flags": np.array([True, False]),
    "scalar": np.array(2.5),
    "sim0/1": {
        "list": [1, 2.5, None, True, "é", {"deep": np.arange(3)}],
        "blob": b"\x00\x01\x00",
        "none": b"",
        "nan": float("nan"),
    },
    "number": 1 / 3,
}


def same(a, b):
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


def test_round_trip_is_exact():
    assert same(STATE, checkpoint.load(checkpoint.dump(STATE)))
    assert checkpoint.dump(STATE) == checkpoint.dump(STATE)
    assert checkpoint.load(checkpoint.dump({"t": (1, np.float64(2), np.int32(3))})) == {"t": [1, 2.0, 3]}


def test_any_hdf5_program_opens_it(tmp_path):
    (tmp_path / "c.h5").write_bytes(checkpoint.dump(STATE))
    with h5py.File(tmp_path / "c.h5") as file:
        assert file["arrays/0000"].attrs["name"] == "/positions"
        assert file["arrays/0000"].shape == (2, 3, 3)


def test_every_changed_bit_is_noticed():
    good = checkpoint.dump(STATE)
    header = good.index(b"\n")
    for place in [*range(header), *range(checkpoint.HEADER, len(good), 97)]:
        bad = bytearray(good)
        bad[place] ^= 1
        with pytest.raises(Torn):
            checkpoint.load(bytes(bad))


@pytest.mark.parametrize("cut", [0, 10, 511, 512, 600, -1])
def test_truncated(cut):
    with pytest.raises(Torn):
        checkpoint.load(checkpoint.dump(STATE)[:cut])


@pytest.mark.parametrize("value", [object(), {1: 2}, {"$array": [0, "array"]}, np.array(["text"]), np.array([None]), {1, 2}])
def test_refuses_what_it_cannot_keep(value):
    with pytest.raises(ProtocolError):
        checkpoint.dump({"x": value})
