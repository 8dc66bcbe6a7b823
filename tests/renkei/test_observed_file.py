"""The HDF5 file of `renkei analyze`: whole or not there."""

import h5py
import numpy as np
import pytest

from protocol.errors import BadSetting
from renkei.observed_file import ObservedFile, check_target


def test_series_grow(tmp_path):
    series = np.arange(24.0).reshape(12, 2)
    with ObservedFile(tmp_path / "a.h5", {"phase": "production"}) as file:
        for piece in np.array_split(np.arange(12), 3):
            file.append(piece + 100, {"x_eV": series[piece]})
        assert not (tmp_path / "a.h5").exists()
    with h5py.File(tmp_path / "a.h5") as found:
        np.testing.assert_array_equal(found["series/x_eV"][()], series)
        assert found["step"][()].tolist() == list(range(100, 112))
        assert found.attrs["phase"] == "production"
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


def test_an_error_leaves_nothing(tmp_path):
    file = ObservedFile(tmp_path / "a.h5", {})
    file.append(np.arange(2), {})
    file.__exit__(ValueError, ValueError(), None)
    assert list(tmp_path.iterdir()) == []


def test_targets(tmp_path):
    (tmp_path / "there.h5").write_bytes(b"mine")
    for name, said in [("a.txt", "must end in .h5"), ("no/a.h5", "folder does not exist"), ("there.h5", "is there already")]:
        with pytest.raises(BadSetting, match=said):
            check_target(tmp_path / name)
    assert (tmp_path / "there.h5").read_bytes() == b"mine"
