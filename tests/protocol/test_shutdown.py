import os
import signal
import subprocess
import sys

import pytest

from protocol.shutdown import SIGNALS, Shutdown


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def make():
    made = []

    def build(deadline_s=None, controls=frozenset, clock=None):
        made.append(Shutdown(deadline_s, lambda: set(controls()), clock or Clock()))
        return made[-1]

    before = [signal.getsignal(number) for number in SIGNALS]
    yield build
    for shutdown in reversed(made):
        shutdown.restore()
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_end_with_zero(make, number):
    shutdown = make()
    assert shutdown.reason() is None
    os.kill(os.getpid(), number)
    assert shutdown.reason() == number.name
    assert shutdown.exit_code == 0


def test_interrupt_ends_with_130_whatever_follows(make):
    shutdown = make()
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGTERM)
    assert shutdown.reason() == "SIGINT"
    assert shutdown.exit_code == 130


def test_second_interrupt_is_hard():
    code = """
import os, signal
from protocol.shutdown import Shutdown
shutdown = Shutdown(None, set)
os.kill(os.getpid(), signal.SIGINT)
print(shutdown.reason(), flush=True)
os.kill(os.getpid(), signal.SIGINT)
print("still here", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    assert done.stdout == "SIGINT\n"
    assert done.returncode == -signal.SIGINT


def test_time(make):
    clock = Clock()
    shutdown = make(deadline_s=10.0, clock=clock)
    clock.now += 9.0
    assert shutdown.reason() is None
    assert shutdown.seconds_left() == 1.0
    clock.now += 1.0
    assert shutdown.reason() == "time is up"
    assert shutdown.exit_code == 0
    clock.now -= 5.0
    assert shutdown.reason() == "time is up", "a reason once given stays"


def test_control_files(make):
    files = set()
    shutdown = make(controls=lambda: files)
    files.add("PAUSE")
    assert shutdown.paused()
    assert shutdown.reason() is None
    files.clear()
    assert not shutdown.paused()
    files.add("STOP")
    assert shutdown.reason() == "STOP file"


def test_work_that_would_not_be_done_in_time(make):
    clock = Clock()
    shutdown = make(10.0, clock=clock)
    assert not shutdown.too_late_for(9.0)
    clock.now += 2.0
    assert shutdown.too_late_for(9.0)
    assert shutdown.reason() is None
    assert not make().too_late_for(1e9)


def test_a_reason_of_the_daemon_itself(make):
    said = [None, "all is done", None]
    shutdown = Shutdown(None, set, also=lambda: said.pop(0))
    assert [shutdown.reason() for _ in range(3)] == [None, "all is done", "all is done"]
    shutdown.restore()
