import pytest

from protocol.channels import base, files
from protocol.errors import BadSetting


def test_the_file_name_is_the_registration():
    assert base.load("files") is files
    assert base.load("protocol.channels.files") is files


def test_unknown_channel():
    with pytest.raises(BadSetting, match="pigeon"):
        base.load("pigeon")


def test_what_a_channel_says_of_itself():
    assert [base.uses_mpi(name) for name in ("files", "tcp", "mpi")] == [False, False, True]
    base.refuse_one_folder("files", "-", "-")
    for name in ("tcp", "mpi"):
        with pytest.raises(BadSetting, match=f"channel {name} joins two run folders, and this"):
            base.refuse_one_folder(name, "this", "that")
