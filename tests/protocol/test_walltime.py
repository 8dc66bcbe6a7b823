"""Whose word counts on when the job ends."""

import pytest

from protocol import walltime
from protocol.walltime import deadline_s, job, job_left_s, span_s


def answers(**said):
    return lambda words: said.get(words[0], "")


@pytest.mark.parametrize(
    ("text", "seconds"), [("2-03:04:05", 183845), ("1:30:00", 5400), ("04:05", 245), ("90", 90), ("UNLIMITED", None), ("", None)]
)
def test_spans(text, seconds):
    assert span_s(text) == seconds


@pytest.mark.parametrize(
    ("environment", "said", "left", "source"),
    [
        ({}, {}, None, ""),
        ({"SLURM_JOB_ID": "7"}, {"squeue": "9:00\n"}, 540, "Slurm"),
        ({"SLURM_JOB_ID": "7", "RENKEI_JOB_END": "1100"}, {"squeue": "UNLIMITED\n"}, 100, "the job script"),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": "1300"}, {}, 300, "Slurm"),
        # the controller's clock is hours behind: the length of the job is what is known
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_START_TIME": "100", "SLURM_JOB_END_TIME": "160"}, {}, 60, "Slurm"),
        (
            {"PBS_JOBID": "8.s"},
            {"qstat": "    resources_used.walltime = 00:10:00\n    Resource_List.walltime = 01:00:00\n"},
            3000,
            "PBS",
        ),
        ({"PBS_JOBID": "8.s", "PBS_WALLTIME": "3600"}, {}, 3600, "PBS"),
        ({"PBS_JOBID": "8.s", "PBS_WALLTIME": "3600", "RENKEI_JOB_END": "1900"}, {}, 900, "the job script"),
        ({"PJM_JOBID": "9", "RENKEI_JOB_END": "1700"}, {}, 700, "the job script"),
    ],
)
def test_the_scheduler_comes_first_then_the_script(environment, said, left, source):
    assert job_left_s(environment, answers(**said), lambda: 1000.0) == (left, source)


def test_the_sooner_end_counts_less_a_reserve_for_the_checkpoint(monkeypatch):
    monkeypatch.setattr(walltime, "job_left_s", lambda environment: (1000.0, "Slurm"))
    assert deadline_s(None, {}) == (980.0, "Slurm")
    assert deadline_s(500.0, {}) == (500.0, "--for")
    assert deadline_s(990.0, {}) == (980.0, "Slurm")
    monkeypatch.setattr(walltime, "job_left_s", lambda environment: (5.0, "Slurm"))
    assert deadline_s(None, {}) == (0.0, "Slurm")
    monkeypatch.setattr(walltime, "job_left_s", lambda environment: (None, ""))
    assert deadline_s(None, {}) == (None, "")


def test_a_question_that_fails_gives_no_answer():
    assert walltime.job_left_s({"SLURM_JOB_ID": "7"}, lambda words: walltime._ask(["no-such-squeue"])) == (None, "")


def test_which_job_this_is():
    assert job({}) is None
    assert job({"SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "2"}) == {"scheduler": "slurm", "id": "7", "restarts": 2}
    assert job({"PBS_JOBID": "8.s"}) == {"scheduler": "pbs", "id": "8.s", "restarts": 0}
