"""Two child processes: they end together, in order, whoever ends first and whatever is asked."""

import os
import signal
import threading

import pytest

from protocol.store import Store
from renkei import local_pair


@pytest.fixture
def pair(stand_ins):
    """Start the stand-ins in a mode and watch over them."""
    run = stand_ins / "run"
    run.mkdir()

    def watch(mode="", on_tick=lambda: None):
        (run / "mode").write_text(mode)
        children = local_pair.start(run, ["sim0"], 1, ["--steps", "3"], [])
        outcome = local_pair.watch_over(run, children, on_tick)
        assert all(child.process.poll() is not None for child in children)
        return run, outcome

    return watch


def test_the_trainer_is_stopped_when_the_simulator_is_done(pair):
    run, outcome = pair()
    assert outcome == local_pair.Outcome(0, False, "")
    assert (run / "sim.words").read_text() == "--name sim0 --steps 3"
    assert (run / "train.ended").exists()
    assert [path.name for path in (run / "control").iterdir()] == ["STOP-train"]


def test_the_trainer_stays_as_long_as_another_s_simulator_works(pair, stand_ins):
    ticks, other = [], []

    def tick():
        ticks.append(1)
        if len(ticks) == 1:
            other.append(Store(stand_ins / "run").claim("sim/hot"))
        if len(ticks) == 8:
            assert not (stand_ins / "run" / "train.ended").exists()
            other[0].close()

    run, outcome = pair("", tick)
    assert outcome == local_pair.Outcome(0, False, "")
    assert len(ticks) >= 8
    assert (run / "train.ended").exists()
    assert [path.name for path in (run / "control").iterdir()] == ["STOP-train"]


def test_a_failing_simulator_ends_the_trainer_and_gives_its_code_and_words(pair):
    run, outcome = pair("fail")
    assert outcome.code == 3
    assert outcome.sentence.startswith("the simulator ended with exit code 3: sim_daemon: the engine cannot be used (")
    assert (run / "train.ended").exists()


def test_a_dying_trainer_ends_the_simulator(pair):
    run, outcome = pair("wait trainer_dies")
    assert outcome.code == 6
    assert outcome.sentence.startswith("the trainer ended with exit code 6: train_daemon: no torch (")
    assert (run / "sim.ended").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_signal_ends_both_in_order(pair, number, code):
    ticks = []

    def tick():
        ticks.append(1)
        if len(ticks) == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    run, outcome = pair("wait", tick)
    assert outcome == local_pair.Outcome(code, True, "")
    assert (run / "sim.ended").exists()
    assert (run / "train.ended").exists()
    assert signal.getsignal(number) is before
    assert threading.current_thread() is threading.main_thread()


def test_children_that_do_not_listen_are_killed(pair, monkeypatch):
    monkeypatch.setattr(local_pair, "GRACE_S", 0.5)
    monkeypatch.setattr(local_pair, "put_control", lambda run, name: None)
    _, outcome = pair()
    assert (outcome.code, outcome.interrupted) == (1, False)
    assert "the trainer was ended by signal 15" in outcome.sentence
    assert outcome.sentence.endswith("the same command goes on from there")


def test_several_ranks_go_through_the_mpirun_beside_this_python():
    assert local_pair.launcher(1) == []
    command = local_pair.launcher(3)
    assert command[1:] == ["-n", "3"]
    assert command[0].endswith("mpirun")
