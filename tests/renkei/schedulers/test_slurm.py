"""Slurm without a cluster; tests/pair/test_slurm.py has a real one."""

import pytest

from protocol.errors import EnvironmentFailed
from renkei.schedulers import slurm
from renkei.schedulers.base import Answer, State


def answering(monkeypatch, out="", error="", code=0):
    asked = []

    def ask(words, timeout_s):
        asked.append(words)
        return Answer(code, out, error)

    monkeypatch.setattr("renkei.schedulers.base.ask", ask)
    monkeypatch.setattr(slurm, "ask", ask)
    return slurm.build(slurm.Settings()), asked


def test_numbers_names_and_words(monkeypatch, tmp_path):
    table = "7|RUNNING|None|rk-a\n8|PENDING|Dependency|rk-b\n9|TIMEOUT|TimeLimit|rk-c\n10|RUNNING|None|another\n"
    scheduler, _ = answering(monkeypatch, table)
    found = scheduler.query({"7": "rk-a", "8": "rk-b", "9": "rk-c", "6": "rk-gone"})
    assert {number: job.state for number, job in found.items()} == {"7": State.RUNNING, "8": State.QUEUED, "9": State.ENDED}
    assert found["8"].said == "PENDING (Dependency)"
    assert scheduler.find("rk-b") == "8"
    assert scheduler.find("rk-x") is None


def test_a_number_with_its_cluster_and_no_number(monkeypatch, tmp_path):
    scheduler, asked = answering(monkeypatch, "42;cluster\n")
    assert scheduler.submit(tmp_path / "a.sh", "rk-a", "41") == "42"
    assert asked == [["sbatch", "--parsable", "--job-name=rk-a", "--dependency=afterany:41", str(tmp_path / "a.sh")]]
    scheduler, _ = answering(monkeypatch, "")
    with pytest.raises(EnvironmentFailed, match="told no job number"):
        scheduler.submit(tmp_path / "a.sh", "rk-a", None)


def test_a_job_that_has_ended_is_no_error_to_cancel(monkeypatch):
    scheduler, _ = answering(monkeypatch, error="scancel: error: Kill job error on job id 2: Invalid job id specified", code=1)
    scheduler.cancel(["2"])
    scheduler, _ = answering(monkeypatch, error="scancel: error: Access/permission denied", code=1)
    with pytest.raises(EnvironmentFailed, match="permission denied"):
        scheduler.cancel(["2"])
