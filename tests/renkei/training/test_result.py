"""The folder of a real training: complete, consistent with itself."""

import json
import re

import pytest

from protocol.errors import BadSetting
from renkei.training import result as training_result


def test_every_file_is_there_and_says_the_same(trained):
    assert {path.name for path in trained.iterdir()} == {
        "potential",
        "train.json",
        "index.html",
        "learning.png",
        "energies.png",
        "forces.png",
        "species.png",
        "by-force.png",
    }
    found = json.loads((trained / "train.json").read_text())
    card = json.loads((trained / "potential" / "card.json").read_text())
    kept = [row for row in found["validations"] if row["step"] == found["best"]["step"]]
    assert card["metrics"]["heldout_force_rmse_eV_per_A"] == kept[0]["force_rmse_eV_per_A"]
    assert found["errors"]["validation"]["force_rmse_eV_per_A"] == pytest.approx(kept[0]["force_rmse_eV_per_A"], rel=1e-9)
    scores = [row["energy_rmse_meV_per_atom"] * row["force_rmse_eV_per_A"] for row in found["validations"]]
    assert min(scores) == kept[0]["energy_rmse_meV_per_atom"] * kept[0]["force_rmse_eV_per_A"]
    assert (found["steps"], found["reason"], found["species"]) == (600, "done", ["H", "O"])
    assert found["frames"] == {"training": 108, "validation": 12, "test": 30}
    assert found["learner"]["hidden"] == [10]
    assert 20 < found["memory_peak_MiB"] < 20_000


def test_it_has_learned(trained):
    errors = json.loads((trained / "train.json").read_text())["errors"]
    for name, structures in (("training", 108), ("validation", 12), ("test", 30)):
        assert errors[name]["structures"] == structures
        assert errors[name]["force_rmse_eV_per_A"] < 0.3, "a constant energy errs by about 1 eV/A"


def test_the_page_stands_alone(trained):
    page = (trained / "index.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert page.count("data:image/png;base64,") == 5
    assert not re.search(r"\bnan\b", page, flags=re.I)


def test_a_folder_that_holds_something_is_refused(tmp_path, trained):
    training_result.claim(tmp_path / "a" / "b")
    training_result.claim(tmp_path / "a" / "b")
    with pytest.raises(BadSetting, match="is there already; name a new folder"):
        training_result.claim(trained)
