"""Shipped files are found in a checkout and in a wheel."""

import pytest

from protocol.errors import BadSetting, EnvironmentFailed
from renkei import templates


def test_shipped_files_of_this_checkout():
    assert {"water-tetramer", "quartz", "zundel", "water-dft", "silicon-qe", "toy"} <= set(templates.config_names())
    assert templates.config("quartz").is_file()
    assert (templates.folder("jobscripts") / "slurm_sim.sh").is_file()


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(BadSetting, match=r"no shipped configuration 'watertetramer'; did you mean water-tetramer\?"):
        templates.config("watertetramer")


def test_a_wheel_has_them_inside_the_package(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "renkei"
    (package / "configs").mkdir(parents=True)
    (tmp_path / "site-packages" / "configs").mkdir()  # a stranger's
    monkeypatch.setattr(templates, "HERE", package)
    assert templates.folder("configs") == package / "configs"
    with pytest.raises(EnvironmentFailed, match="no jobscripts/"):
        templates.folder("jobscripts")
