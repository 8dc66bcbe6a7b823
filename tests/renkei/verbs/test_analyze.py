"""`renkei analyze`: table, file, list, errors."""

import json
import re

import h5py


def test_list(renkei):
    code, out, _ = renkei("analyze", "--list")
    assert code == 0
    assert "pair_distribution " in out
    assert "every number of the ledger" in out


def test_table_and_file(renkei, sound_run, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    file = tmp_path / "found.h5"
    code, out, _ = renkei("analyze", sound_run, "--observable", "energy,bonds", "--into", file)
    assert code == 0
    assert "production: 400 states, steps 71 to 470" in out
    [line] = [line for line in out.splitlines() if "energy_virial" in line]
    assert "−100.00" in line
    assert "±" in line
    assert re.search(r"bond_length_\S+ .* Å ", out)  # as people write it
    assert f"series and curves: {file}" in out
    with h5py.File(file) as found:
        assert found["series/energy_virial_eV"].shape == (400, 2)
        assert found["averages/energy_virial_eV"].attrs["unit"] == "eV"
        curve = found["curves/bond_angle_distribution_H-O-H"]
        assert curve["x"].shape == curve["value"].shape == curve["stderr"].shape == (180,)
        assert curve.attrs["x_label"] == "angle_deg"


def test_json_has_the_numbers_of_the_file(renkei, sound_run, tmp_path):
    file = tmp_path / "found.h5"
    code, out, _ = renkei("analyze", sound_run, "--observable", "energy,bonds", "--into", file, "--json")
    assert code == 0
    [told] = json.loads(out)["simulators"].values()
    assert (told["states"], told["first_step"], told["last_step"]) == (400, 71, 470)
    energy, curve = told["averages"]["energy_virial_eV"], told["curves"]["bond_angle_distribution_H-O-H"]
    with h5py.File(file) as found:
        attributes = found["averages/energy_virial_eV"].attrs
        assert [energy[key] for key in ("mean", "stderr", "ess")] == [attributes[key] for key in ("mean", "stderr", "ess")]
        assert curve["value"] == found["curves/bond_angle_distribution_H-O-H/value"][:].tolist()
    assert (energy["unit"], energy["refusal"], curve["x_label"]) == ("eV", "", "angle_deg")


def test_a_narrow_terminal_cuts_no_name_and_no_number(renkei, sound_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    _, out, _ = renkei("analyze", sound_run, "--observable", "energy,bonds")
    assert "bond_angle_distribution_H-O-H" in out
    assert "…" not in out


def test_no_mean_of_few_samples(renkei, make_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    code, out, _ = renkei("analyze", make_run(blocks=(12,)), "--observable", "energy")
    assert code == 0
    assert "energy_virial_eV not quoted: " in out
    assert "at least 50 wanted" in out
    assert "±" not in out.replace("mean ± standard error", "")
    assert "−99." not in out
    assert "−100." not in out


def test_adapt_is_no_equilibrium(renkei, sound_run):
    code, out, _ = renkei("analyze", sound_run, "--observable", "radius_of_gyration", "--phase", "adapt")
    assert code == 0
    assert "no equilibrium" in out


def test_usage(renkei, sound_run, tmp_path):
    assert renkei("analyze", sound_run)[0] == 2
    code, _, err = renkei("analyze", sound_run, "--observable", "nothing")
    assert code == 2
    assert "no observable 'nothing'" in err
    assert "did you mean energy?" in renkei("analyze", sound_run, "--observable", "enrgy")[2]
    for more in (["--skip", "3"], ["--phase", "adapt"], ["--rung", "300"]):
        assert renkei("analyze", sound_run, "--observable", "energy", "--all-blocks", *more)[0] == 2
    file = tmp_path / "x.h5"
    assert renkei("analyze", sound_run, "--observable", "cell", "--into", file)[0] == 2
    assert list(tmp_path.iterdir()) == []
    assert renkei("analyze", tmp_path, "--observable", "energy")[0] == 2
