"""What qstat prints, read."""

from renkei.schedulers.base import State
from renkei.schedulers.qsub_family import parse

TEXT = """Job Id: 12.pbs
    Job_Name = rk-0a1b2c-sim0
    job_state = R
    Variable_List = PBS_O_HOME=/home/someone,PBS_O_LANG=C,PBS_O_PATH=/usr/bin,
\tjob_state = Q,PBS_O_SHELL=/bin/bash

Job Id: 13.pbs
    Job_Name = rk-3d4e5f-train
    job_state = F
    Exit_status = 271
"""


def test_a_broken_line_is_no_fact_of_its_own():
    running, ended = parse(TEXT)
    assert (running.id, running.name, running.state) == ("12.pbs", "rk-0a1b2c-sim0", State.RUNNING)
    assert (ended.state, ended.said) == (State.ENDED, "F, exit code 271")
