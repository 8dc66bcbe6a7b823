import json

import pytest

from protocol import epochs, jsontext
from protocol.errors import Torn, VersionClash


@pytest.fixture
def first(store):
    epoch = store.claim("sim/sim0")
    yield epoch
    epoch.close()


def test_record_comes_back(first):
    record = epochs.read(first.folder)
    assert record == first.record
    assert (record.role, record.number, record.adopts) == ("sim/sim0", 1, epochs.Adoption())
    assert epochs.numbers(first.folder.parent) == [1]
    assert epochs.numbers(first.folder / "epoch.json") == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"schema": 2}, VersionClash),
        ({"number": 7}, Torn),
        ({"adopts": {}}, Torn),
        ({"adopts": None}, Torn),
        ({"number": "x"}, Torn),
    ],
)
def test_hostile_records(first, change, error):
    path = first.folder / "epoch.json"
    path.write_text(json.dumps({**jsontext.loads(path.read_bytes(), path), **change}))
    with pytest.raises(error):
        epochs.read(first.folder)


def test_adopted_numbers_are_numbers(first):
    path = first.folder / "epoch.json"
    fields = json.loads(path.read_text())
    fields["adopts"]["batch"] = "many"
    path.write_text(json.dumps(fields))
    with pytest.raises(Torn):
        epochs.read(first.folder)


@pytest.mark.parametrize(
    "state", [{}, {"cursor": 3}, {"cursor": {"batch": 1, "row": 2}}, {"cursor": {"batch": 1, "generation": 1, "row": -1}}]
)
def test_a_checkpoint_needs_a_cursor(state):
    with pytest.raises(Torn, match="cursor"):
        epochs.cursor(state)
