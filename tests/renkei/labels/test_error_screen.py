"""The table on the screen."""

import json

from renkei.labels import error_screen


def test_sets_side_by_side_and_details(trained, capsys):
    errors = json.loads((trained / "train.json").read_text())["errors"]
    error_screen.show(errors)
    short = capsys.readouterr().out
    assert all(word in short for word in ("training", "validation", "test", "energy RMSE, meV/atom", "force RMSE, eV/Å"))
    assert f"{errors['test']['energy_rmse_meV_per_atom']:.2f}" in short
    assert "|F| from" not in short
    error_screen.show({"test": errors["test"]}, detailed=True)
    assert "|F| from" in capsys.readouterr().out
