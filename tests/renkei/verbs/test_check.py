"""check looks at everything and makes one engine call."""


def test_a_good_run_with_its_energy(renkei, yaml_file):
    code, out, err = renkei("check", yaml_file)
    assert (code, err) == (0, "")
    assert "H2O, 3 atoms, not periodic" in out
    assert "-137.9" in out  # GFN2-xTB energy of water, eV
    assert "beads 4" in out


def test_a_run_folder(renkei, yaml_file, tmp_path):
    renkei("init", tmp_path / "run", "--config", "water-tetramer")
    code, out, _ = renkei("check", tmp_path / "run", "--no-engine")
    assert code == 0
    assert "sphere of 3 A, 1 eV/A^2" in out
    assert "energy" not in out


def test_isotopes_are_shown(renkei, yaml_file):
    yaml_file.write_text(yaml_file.read_text().replace("water.xyz  # beside this file", "water.xyz\n    isotopes: {H: D}"))
    _, out, _ = renkei("check", yaml_file, "--no-engine")
    assert "O 15.9990 amu, H 2.0141 amu" in out


def test_a_wrong_key_and_a_wrong_structure_exit_2(renkei, yaml_file):
    good = yaml_file.read_text()
    yaml_file.write_text(good.replace("beads: 4", "beads: 0"))
    assert renkei("check", yaml_file) == (2, "", f"renkei: {yaml_file}:9: sampler.beads: must be >= 1, got 0\n")
    yaml_file.write_text(good)
    atoms = yaml_file.parent / "water.xyz"
    atoms.write_text(atoms.read_text().replace("charge=0", "charge=1"))
    code, _, err = renkei("check", yaml_file)
    assert code == 2
    assert "system.charge is 0, but the structure's file says 1" in err


def test_an_engine_without_an_answer_exits_3(renkei, yaml_file):
    yaml_file.write_text(yaml_file.read_text().replace("GFN2-xTB}", "GFN2-xTB, max_iterations: 1}"))
    code, _, err = renkei("check", yaml_file)
    assert code == 3
    assert "the engine has no label for the start structure" in err
    assert err.count("\n") == 1


def test_a_start_structure_beyond_the_guard_exits_2(renkei, yaml_file):
    yaml_file.write_text(yaml_file.read_text().replace("GFN2-xTB}", "GFN2-xTB, max_force_eV_per_A: 0.001}"))
    code, _, err = renkei("check", yaml_file)
    assert code == 2
    assert "above engine.max_force_eV_per_A (0.001)" in err
