"""`renkei evaluate` gives the numbers that training told."""

import json

import pytest


def test_the_numbers_of_the_training(renkei, trained, tmp_path):
    told = json.loads((trained / "train.json").read_text())["errors"]["test"]
    test = trained.parent / "test.extxyz"
    code, out, _ = renkei("evaluate", trained, test, "--json", "--out", tmp_path / "out.extxyz")
    assert code == 0
    found = json.loads(out)
    for key, value in told.items():
        if isinstance(value, float):
            assert found[key] == pytest.approx(value, rel=1e-6), key
    assert found["species"].keys() == told["species"].keys()
    again = json.loads(renkei("evaluate", trained / "potential", tmp_path / "out.extxyz", "--json")[1])
    assert again["force_rmse_eV_per_A"] == pytest.approx(told["force_rmse_eV_per_A"], rel=1e-6)


def test_a_table_for_people(renkei, trained):
    told = json.loads((trained / "train.json").read_text())["errors"]["test"]
    code, out, err = renkei("evaluate", trained, trained.parent / "test.extxyz")
    assert (code, err) == (0, "")
    assert f"{told['energy_shifted_rmse_meV_per_atom']:.2f}" in out
    assert "|F| from 0.3 eV/Å to 1" in out


def test_what_cannot_be_evaluated(renkei, trained, xyz, molecule, tmp_path):
    fluorine = molecule()
    fluorine.numbers[1] = 9
    code, _, err = renkei("evaluate", trained, xyz(fluorine))
    assert (code, err) == (
        2,
        f"renkei: {tmp_path}/data.extxyz: frame 1: holds F, but the potential knows H, O only; leave the frame out\n",
    )
    code, _, err = renkei("evaluate", tmp_path, trained.parent / "test.extxyz")
    assert code == 2
    assert "there is no potential in it" in err
    assert renkei("evaluate", trained, trained.parent / "test.extxyz", "--out", trained / "train.json")[0] == 2
