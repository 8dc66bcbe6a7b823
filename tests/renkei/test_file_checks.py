"""What the doctor tries on a run's file system, where all is well and where something is not; the folder stays as it was."""

import errno
import os
import sys
import time

import pytest

from renkei import file_checks

CHECKS = (file_checks.run_files, file_checks.run_costs, file_checks.run_locks, file_checks.run_space, file_checks.run_clock)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_folder_is_left_as_it_was(check, tmp_path):
    found = check(tmp_path)
    assert not found.broken, found
    assert found.found
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("check", [check for check in CHECKS if check is not file_checks.run_space], ids=lambda c: c.__name__)
def test_a_folder_that_is_no_folder_is_broken(check, tmp_path):
    (tmp_path / "file").write_text("")
    assert check(tmp_path / "file").broken


def test_a_folder_where_names_can_be_taken_twice_is_broken(monkeypatch, tmp_path):
    monkeypatch.setattr(file_checks, "_taken_once", lambda path: False)
    assert file_checks.run_files(tmp_path).broken
    assert os.listdir(tmp_path) == []


def test_costs_name_the_row_fsync_and_rename(monkeypatch, tmp_path):
    found = file_checks.run_costs(tmp_path)
    assert [word in found.found for word in ("row of the ledger", "fsync", "rename")] == [True] * 3
    monkeypatch.setattr(file_checks, "SLOW_FILE_S", 0.0)
    assert "segment_steps" in file_checks.run_costs(tmp_path).todo


def test_locks_that_do_not_work_are_no_fault(monkeypatch, tmp_path):
    def refused(file, how):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(file_checks.fcntl, "flock", refused)
    found = file_checks.run_locks(tmp_path)
    assert found.found.startswith("flock does not (ENOLCK), fcntl works; a run takes none")
    assert (found.todo, found.broken) == ("", False)


def test_little_space_and_few_names_are_worth_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(file_checks, "RUN_GB", 1e9)
    found = file_checks.run_space(tmp_path)
    assert (found.broken, found.todo) == (False, "free some space before a long run")
    monkeypatch.setattr(file_checks, "RUN_GB", 0.0)
    monkeypatch.setattr(file_checks, "RUN_FILES", 2**62)
    assert os.statvfs(tmp_path).f_favail == 0 or "names (inodes)" in file_checks.run_space(tmp_path).todo


@pytest.mark.parametrize(("command", "code"), [("lfs", 0), ("quota", 0), ("quota", 1)])
def test_a_quota_is_told_where_a_command_tells_it(tmp_path, monkeypatch, command, code):
    script = tmp_path / "bin" / command
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nprint('Disk quotas\\n/home   4.1G   10G')\nraise SystemExit({code})\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    found = file_checks.run_space(tmp_path).found
    assert found.endswith(f"{command} says: /home 4.1G 10G" if code == 0 else "quota: not readable from here")


def test_a_server_whose_clock_is_off(tmp_path, monkeypatch):
    real = time.time
    monkeypatch.setattr(file_checks.time, "time", lambda: real() + 7200.0)
    found = file_checks.run_clock(tmp_path)
    assert "-7200.0" in found.found
    assert "time server" in found.todo
