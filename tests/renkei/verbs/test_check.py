"""check looks at everything and makes one engine call."""


def test_a_good_run_with_its_energy(renkei, yaml_file):
    code, out, err = renkei("check", yaml_file)
    assert (code, err) == (0, "")
    assert "H2O, 3 atoms, not periodic" in out
    assert "-137.9" in out  # GFN2-xTB energy of water, eV
    assert "beads 4" in out
    assert "29 resolve 3000 cm^-1 at 300 K" in out  # 2 * 3000 / 208.5


def test_a_run_folder(renkei, yaml_file, tmp_path):
    renkei("init", tmp_path / "run", "--config", "water-tetramer")
    code, out, _ = renkei("check", tmp_path / "run", "--no-engine")
    assert code == 0
    assert "sphere of 3 A, 1 eV/A^2" in out
    assert "energy" not in out


def test_every_simulator_is_looked_at(renkei, yaml_file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    own = "  simulators: {sim0: {}, far: {system: {structure: far.xyz}, sampler: {ensemble: {temperature_K: 400}}}}\nmachine:"
    yaml_file.write_text(yaml_file.read_text().replace("machine:", own))
    code, _, err = renkei("check", yaml_file, "--no-engine")
    assert code == 2
    assert "far.xyz: system.structure: no such file" in err
    (yaml_file.parent / "far.xyz").write_text((yaml_file.parent / "water.xyz").read_text())
    code, out, _ = renkei("check", yaml_file, "--no-engine")
    assert code == 0
    assert "sim0, far system structure far.xyz sampler ensemble temperature_K 400" in out


def test_ranks_without_work_are_told(renkei, yaml_file, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    assert "idle" not in renkei("check", yaml_file, "--no-engine")[1]
    yaml_file.write_text(yaml_file.read_text().replace("{ranks: 1}", "{ranks: 6}"))
    assert "6, 1 for each engine call; 2 of them idle: beads x walkers are 4" in renkei("check", yaml_file, "--no-engine")[1]


def test_isotopes_are_shown(renkei, yaml_file):
    yaml_file.write_text(yaml_file.read_text().replace("water.xyz  # beside this file", "water.xyz\n    isotopes: {H: D}"))
    _, out, _ = renkei("check", yaml_file, "--no-engine")
    assert "O 15.9990 amu, H 2.0141 amu" in out
    assert "21 resolve 2122 cm^-1 at 300 K" in out.replace("\n", " ").replace("  ", " ")


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
    assert "the engine cannot label the start structure" in err
    assert err.count("\n") == 1


def test_a_start_structure_beyond_the_guard_exits_2(renkei, yaml_file):
    yaml_file.write_text(yaml_file.read_text().replace("GFN2-xTB}", "GFN2-xTB, max_force_eV_per_A: 0.001}"))
    code, _, err = renkei("check", yaml_file)
    assert code == 2
    assert "above engine.max_force_eV_per_A (0.001)" in err


def test_the_channel_is_looked_at(renkei, yaml_file, tmp_path):
    good = yaml_file.read_text()
    assert "files, looks every 0.5 s" in renkei("check", yaml_file, "--no-engine")[1]
    secret = tmp_path / "secret"
    yaml_file.write_text(good + f"  channel: {{name: tcp, listen: '*:5871', secret: {secret}}}\n")
    code, _, err = renkei("check", yaml_file, "--no-engine")
    assert code == 2
    assert "channel.secret: cannot be read" in err
    secret.touch(0o600)
    secret.write_text("3" * 64)
    code, out, err = renkei("check", yaml_file, "--no-engine")
    assert (code, err) == (0, "")
    assert "tcp, listens at *:5871" in out
    assert "33333" not in out
    yaml_file.write_text(good + "  channel: {name: tcp}\n")
    code, _, err = renkei("check", yaml_file, "--no-engine")
    assert code == 2
    assert "needs either listen" in err
