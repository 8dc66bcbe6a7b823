"""`renkei export`: a folder appears whole, or not at all."""


def test_a_run_and_a_potential(renkei, sound_run, trained, tmp_path):
    code, out, _ = renkei("export", sound_run, "--to", "extxyz", "--into", tmp_path / "labels")
    assert code == 0
    assert out.startswith(f"{tmp_path / 'labels'}: labels.extxyz (")
    code, out, _ = renkei("export", trained, "--to", "ase", "--into", tmp_path / "ase")
    assert (code, out) == (0, f"{tmp_path / 'ase'}: potential/, README.md\n")
    assert sorted(path.name for path in (tmp_path / "ase" / "potential").iterdir()) == ["card.json", "weights.h5"]


def test_refusals_leave_nothing_behind(renkei, trained, sound_run, tmp_path):
    code, _, err = renkei("export", trained, "--to", "aenet", "--into", tmp_path / "out")
    assert code == 2
    assert "species-resolved" in err
    assert renkei("export", trained, "--to", "extxyz", "--into", tmp_path / "out")[0] == 2
    assert renkei("export", trained, "--to", "vasp", "--into", tmp_path / "out")[0] == 2
    assert list(tmp_path.iterdir()) == []
    code, _, err = renkei("export", sound_run, "--to", "extxyz", "--into", trained)
    assert code == 2
    assert "is there already; name a new folder" in err
