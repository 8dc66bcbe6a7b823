"""Every figure of a training, and none where there is no table."""

import json

import numpy as np
import pytest

from renkei import artefact
from renkei.labels import frames as labelled
from renkei.labels import parity
from renkei.training import figures as training_figures

REFERENCES = {1: -13.0, 8: -430.0}


@pytest.fixture
def found(trained):
    return json.loads((trained / "train.json").read_text())


@pytest.fixture
def sets(trained):
    frames = labelled.read([trained.parent / "test.extxyz"])
    return {"test": (frames, parity.predict(artefact.find(trained).potential, frames))}


def test_all_of_them(found, sets):
    drawn = training_figures.draw(found, sets, REFERENCES)
    assert [one.name for one in drawn] == ["learning", "energies", "forces", "species", "by-force"]
    assert all(one.png[:4] == b"\x89PNG" and one.title and one.caption for one in drawn)


def test_no_rows_no_curve(found):
    assert training_figures.learning([], [], 0) is None
    assert training_figures.learning([{"step": 3, "accuracy": 1.0}], [], 0) is None
    assert training_figures.learning(found["rows"], [], 0) is not None


def test_predictions_that_are_not_finite_are_no_points(sets):
    frames, predictions = sets["test"]
    nothing = predictions._replace(energies=np.full(len(frames), np.nan))
    assert training_figures.energies({"test": (frames, nothing)}, REFERENCES) is not None
