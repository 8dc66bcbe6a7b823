"""stop asks by a control file."""


def test_stop_writes_the_control_file(renkei, tmp_path):
    (tmp_path / "run.yaml").write_text("")
    code, out, _ = renkei("stop", tmp_path)
    assert code == 0
    assert (tmp_path / "control" / "STOP").exists()
    assert f"renkei run {tmp_path}" in out
    assert renkei("stop", tmp_path / "nowhere")[0] == 2
