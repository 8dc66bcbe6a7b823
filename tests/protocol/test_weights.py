import json
from dataclasses import replace

import numpy as np
import pytest

from protocol import atomic, weights
from protocol.errors import Torn, VersionClash


@pytest.fixture
def model(tmp_path, make_card):
    (tmp_path / "weights.h5").write_bytes(b"numbers")
    digest = weights.write_card(tmp_path, replace(make_card(3), files=weights.digests(tmp_path)))
    return tmp_path, digest


def test_round_trip(model, make_card):
    folder, digest = model
    card, want = weights.verify(folder, digest), make_card(3)
    assert card.files == {"weights.h5": atomic.sha256(folder / "weights.h5")}
    assert card.metrics == {"rmse": 0.25, "steps": 7, "better": True}  # what is not finite is left out
    assert type(card.metrics["better"]) is bool
    for field in (
        "format",
        "generation",
        "species",
        "cutoff_A",
        "charge",
        "multiplicity",
        "fingerprint",
        "architecture",
        "parents",
        "batches",
    ):
        assert getattr(card, field) == getattr(want, field)
    for field in ("positions", "numbers", "cell", "pbc", "energy", "forces"):
        np.testing.assert_array_equal(getattr(card.canary, field), getattr(want.canary, field))
    assert weights.read_card(folder).generation == 3


def test_every_file_is_verified(model):
    folder, digest = model
    (folder / "weights.h5").write_bytes(b"numbert")
    with pytest.raises(Torn):
        weights.verify(folder, digest)


def test_the_card_is_verified(model):
    folder, digest = model
    (folder / "card.json").write_text((folder / "card.json").read_text().replace("0.25", "0.15"))
    with pytest.raises(Torn):
        weights.verify(folder, digest)


@pytest.mark.parametrize(
    "change",
    [
        {"files": {"../../secret": "0" * 64}},
        {"files": {"/etc/passwd": "0" * 64}},
        {"files": {"weights.h5": "no digest"}},
        {"format": "os.path"},
        {"format": "../bpnn"},
        {"species": "H"},
        {"canary": None},
        {"generation": "x"},
        {"metrics": 3},
    ],
)
def test_hostile_cards_are_torn(model, change):
    folder, _ = model
    fields = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**fields, **change}))
    with pytest.raises(Torn):
        weights.verify(folder, atomic.sha256(folder / "card.json"))


@pytest.mark.parametrize(
    "change", [{"energy": [1.0, 2.0]}, {"energy": [None]}, {"forces": [[[1.0]]]}, {"numbers": [1]}, {"cell": [1e999]}]
)
def test_hostile_canaries_are_torn(model, change):
    folder, _ = model
    fields = json.loads((folder / "card.json").read_text())
    fields["canary"].update(change)
    (folder / "card.json").write_text(json.dumps(fields))
    with pytest.raises(Torn):
        weights.read_card(folder)


def test_schema(model):
    folder, _ = model
    fields = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**fields, "schema": 2}))
    with pytest.raises(VersionClash):
        weights.read_card(folder)
