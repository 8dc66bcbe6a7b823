"""A call that takes too long."""

import signal
import subprocess
import sys
import time

import pytest

from sim_daemon.engines.base import EngineCrashed
from sim_daemon.time_limit import TimeLimit

HANG = """
import ctypes, sim_daemon.time_limit as t
t.GRACE_S = 0.3
with t.TimeLimit(0.1).over("engine"):
    while True:
        try: ctypes.CDLL(None).usleep(900000)  # sees no signal, as compiled code that loops
        except Exception: pass
"""


def test_python_that_takes_too_long_is_an_accident():
    with pytest.raises(EngineCrashed, match=r"slow took longer than 0\.05 s"), TimeLimit(0.05).over("slow"):
        time.sleep(20)


def test_nothing_is_left_armed():
    before = signal.getsignal(signal.SIGALRM)
    with TimeLimit(60.0).over("fast"):
        pass
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_code_that_cannot_be_interrupted_ends_the_rank_with_the_engines_exit_code():
    done = subprocess.run([sys.executable, "-c", HANG], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert "engine hangs" in done.stderr
