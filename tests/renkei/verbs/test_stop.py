"""stop asks by a control file."""


def test_stop_writes_the_control_file(renkei, tmp_path):
    (tmp_path / "run.yaml").write_text("")
    code, out, _ = renkei("stop", tmp_path)
    assert code == 0
    assert (tmp_path / "control" / "STOP").exists()
    assert f"renkei run {tmp_path}" in out
    assert renkei("stop", tmp_path / "nowhere")[0] == 2


def test_one_job_alone(renkei, tmp_path):
    (tmp_path / "run.yaml").write_text("")
    (tmp_path / "sim" / "hot").mkdir(parents=True)
    code, out, _ = renkei("stop", tmp_path, "--name", "hot")
    assert (code, [path.name for path in (tmp_path / "control").iterdir()]) == (0, ["STOP-hot"])
    assert f"renkei run {tmp_path} --name hot" in out
    assert renkei("stop", tmp_path, "--name", "train")[0] == 0
    (tmp_path / "sim" / "hot" / "replica.json").touch()
    code, _, err = renkei("stop", tmp_path, "--name", "hot")
    assert code == 2
    assert "in a folder of its own" in err
    code, _, err = renkei("stop", tmp_path, "--name", "cold")
    assert code == 2
    assert "there is no simulator 'cold'" in err
