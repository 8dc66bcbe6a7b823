import h5py
import numpy as np
import pytest

from protocol import hdf5
from protocol.errors import Torn, VersionClash


def fill(file):
    file.attrs["kind"], file.attrs["schema"] = "thing", 2
    file["x"] = np.arange(6.0).reshape(2, 3)
    file.create_dataset("bomb", shape=(10**12,), dtype="f8", chunks=(1000,), compression="gzip")
    file.create_dataset("outside", shape=(4,), dtype="u1", external=[("/etc/hostname", 0, 4)])
    file["link"] = h5py.ExternalLink("/etc/other.h5", "/x")
    file["folder/y"] = np.array([1.0, np.nan])


def test_same_content_same_bytes():
    assert hdf5.image(lambda file: file.create_dataset("x", data=np.arange(5))) == hdf5.image(
        lambda file: file.create_dataset("x", data=np.arange(5))
    )


def test_reads_what_is_asked_for():
    with hdf5.opened(hdf5.image(fill), "thing") as file:
        assert hdf5.finite(file, "x", (2, None)).tolist() == [[0, 1, 2], [3, 4, 5]]
        hdf5.check_schema(file, "thing", 2)


@pytest.mark.parametrize(
    ("name", "shape", "word"),
    [
        ("x", (3, 3), "shape"),
        ("x", (6,), "shape"),
        ("none", (2,), "no such"),
        ("folder", (2,), "no such"),
        ("link", (2, 3), "no such"),
        ("bomb", (None,), "plainly"),
        ("outside", (4,), "plainly"),
        ("folder/y", (2,), "finite"),
    ],
)
def test_refuses(name, shape, word):
    with hdf5.opened(hdf5.image(fill), "thing") as file, pytest.raises(Torn, match=word):
        hdf5.finite(file, name, shape)


def test_schema():
    with hdf5.opened(hdf5.image(fill), "thing") as file:
        with pytest.raises(VersionClash):
            hdf5.check_schema(file, "thing", 1)
        with pytest.raises(Torn):
            hdf5.check_schema(file, "other", 2)


def test_not_hdf5_is_torn():
    with pytest.raises(Torn), hdf5.opened(b"no HDF5", "thing"):
        pass
