"""Predictions beside labels, in a file that gives both back."""

import numpy as np
import pytest
from ase.io import read

from protocol.errors import BadSetting
from renkei import artefact
from renkei.labels import frames as labelled
from renkei.labels import parity
from renkei.labels import xyz as predicted_xyz


def test_labels_and_predictions_come_back(trained, tmp_path):
    frames = labelled.read([trained.parent / "test.extxyz"])
    predictions = parity.predict(artefact.find(trained).potential, frames)
    predicted_xyz.write(tmp_path / "out.extxyz", frames, predictions)
    again = labelled.read([tmp_path / "out.extxyz"])
    for frame, same, atoms, energy in zip(frames, again, read(tmp_path / "out.extxyz", ":"), predictions.energies, strict=True):
        assert same.energy == pytest.approx(frame.energy, abs=1e-8)
        np.testing.assert_allclose(same.forces, frame.forces, atol=1e-7)
        assert (same.stress is None) == (frame.stress is None)
        if frame.stress is not None:
            np.testing.assert_allclose(same.stress, frame.stress, atol=1e-9)
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-7)
        assert atoms.get_potential_energy() != frame.energy


def test_where_nothing_can_be_written(tmp_path):
    (tmp_path / "there.xyz").write_text("")
    for name, said in (("a.dat", "must end in"), ("no/a.xyz", "its folder does not exist"), ("there.xyz", "is there already")):
        with pytest.raises(BadSetting, match=said):
            predicted_xyz.check_target(tmp_path / name)
