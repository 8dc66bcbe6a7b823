import os
import subprocess
import sys

from protocol import process


def test_this_process_lives():
    assert not process.is_gone(process.identity())


def test_a_child_lives_until_it_ends():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = {**process.identity(), "pid": child.pid, "born": process._born(child.pid)}
    assert not process.is_gone(who)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.is_gone(who), "a zombie has ended"
    child.wait()
    assert process.is_gone(who)


def test_a_reused_pid_is_not_the_same_process():
    who = process.identity()
    assert process.is_gone({**who, "born": who["born"] - 1})


def test_nobody_can_tell_of_another_machine():
    assert not process.is_gone({**process.identity(), "host": "elsewhere", "pid": 2**22 + 1})
    assert not process.is_gone({**process.identity(), "boot": "earlier", "pid": 2**22 + 1})
    assert not process.is_gone({})
    assert not process.is_gone({**process.identity(), "pid": "x"})
