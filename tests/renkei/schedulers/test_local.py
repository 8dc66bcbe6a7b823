"""Jobs in the background of this machine."""

import time

from renkei.schedulers import local
from renkei.schedulers.base import State


def gone(scheduler, number):
    for _ in range(100):
        if number not in scheduler.query({number: "a"}):
            return True
        time.sleep(0.1)
    return False


def test_a_job_runs_ends_and_is_cancelled(tmp_path):
    scheduler = local.build(local.Settings())
    short, long = tmp_path / "short.sh", tmp_path / "long.sh"
    short.write_text("echo done\n")
    long.write_text("exec sleep 60\n")
    first, second = (scheduler.submit(script, "a", None) for script in (short, long))
    assert gone(scheduler, first)
    assert short.with_suffix(".out").read_text() == "done\n"
    assert scheduler.query({second: "a"})[second].state is State.RUNNING
    scheduler.cancel([first, second])
    assert gone(scheduler, second)


def test_a_process_of_another_machine_counts_as_running(tmp_path):
    number = "1234.5678@another-machine"
    assert local.build(local.Settings()).query({number: "a"})[number].said == "on another-machine"
