import pytest

from protocol.channels import base, files
from protocol.errors import BadSetting


def test_the_file_name_is_the_registration():
    assert base.load("files") is files
    assert base.load("protocol.channels.files") is files


def test_unknown_channel():
    with pytest.raises(BadSetting, match="pigeon"):
        base.load("pigeon")
