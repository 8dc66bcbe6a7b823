"""Which folder is meant, and what a card of a potential that was trained alone says."""

import shutil
from dataclasses import replace

import pytest

from protocol.errors import BadSetting, Torn
from renkei import artefact
from renkei.labels import frames as labelled


def test_a_result_and_its_potential_are_the_same(trained):
    by_result, by_folder = artefact.find(trained), artefact.find(trained / "potential")
    assert by_result.folder == by_folder.folder
    assert by_result.card.species == by_result.potential.species == (1, 8)
    assert by_result.card.fingerprint.startswith("data-")
    assert by_result.card.metrics["heldout_structures"] == 12


def test_the_newest_generation_of_a_run(sound_run, monkeypatch):
    monkeypatch.setattr(artefact.potentials, "load", lambda format, folder, generation: (format, folder.name, generation))
    assert artefact.find(sound_run).potential == ("bpnn", "generation-000002", 2)


def test_what_is_none(tmp_path, trained):
    with pytest.raises(BadSetting, match="no such folder"):
        artefact.find(tmp_path / "nowhere")
    with pytest.raises(BadSetting, match="there is no potential in it"):
        artefact.find(tmp_path)
    damaged = shutil.copytree(trained / "potential", tmp_path / "damaged")
    data = (damaged / "weights.h5").read_bytes()
    (damaged / "weights.h5").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(Torn):
        artefact.find(damaged)


def test_the_fingerprint_is_the_engines_where_there_is_one(xyz, molecules):
    frames = labelled.read([xyz(molecules(4))])
    plain = artefact.identity(frames)["fingerprint"]
    assert plain == artefact.identity(frames[::-1])["fingerprint"] != artefact.identity(frames[1:])["fingerprint"]
    named = [replace(frame, fingerprint="tblite-1", charge=1) for frame in frames]
    assert artefact.identity(named) == {"charge": 1, "multiplicity": 1, "fingerprint": "tblite-1"}
    assert artefact.identity([*named, frames[0]])["fingerprint"].startswith("data-")


def test_nothing_is_left_of_an_export_that_failed(tmp_path):
    class Broken:
        def export(self, model, folder):
            (folder / "half").write_text("")
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        artefact.write(tmp_path / "potential", Broken(), None, (), {})
    assert list(tmp_path.iterdir()) == []
