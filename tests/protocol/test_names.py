import pytest

from protocol import names
from protocol.errors import BadSetting


def test_names_and_back():
    assert names.epoch(3) == "epoch-0003"
    assert names.parse_epoch("epoch-0003") == 3
    assert names.parse_epoch("epoch-12345") == 12345
    assert str(names.payload("batch", 42)) == "batches/batch-000042.h5"
    assert str(names.payload("weights", 7)) == "weights/generation-000007"
    assert names.parse_trigger(names.trigger("batch", 1234567).name) == ("batch", 1234567)
    assert names.parse_trigger(names.trigger("weights", 0).name) == ("weights", 0)
    assert str(names.trajectory(7)) == "trajectory/000007.h5"


@pytest.mark.parametrize(
    "name", ["epoch-3", "epoch-00003", ".epoch-0003.tmp", "current", "epoch-0003 ", "epoch-\u0663\u0663\u0663\u0663"]
)
def test_not_an_epoch(name):
    assert names.parse_epoch(name) is None


@pytest.mark.parametrize(
    "name", ["batch-42.trigger", "batch-000042.h5", "note-000001.trigger", "batch-0000042.trigger", ".batch-000042.trigger.x.tmp"]
)
def test_not_a_trigger(name):
    assert names.parse_trigger(name) is None


def test_roles():
    assert names.simulator_role("hot-2") == "sim/hot-2"
    assert names.sender("sim/hot-2") == "hot-2"
    assert names.sender("train") == "train"
    assert (names.kind("train"), names.kind("sim/a")) == ("weights", "batch")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.b", ".hidden", "train", "x" * 70, "a b"])
def test_bad_simulator_names(name):
    with pytest.raises(BadSetting):
        names.simulator_role(name)
    with pytest.raises(BadSetting):
        names.sender(f"sim/{name}")
