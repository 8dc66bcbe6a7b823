"""The retry ladder, the tries after a crash, the guards."""

import numpy as np
import pytest

from protocol.errors import EngineFailed, Exit
from protocol.records import Label, Structure
from sim_daemon.engines.base import EngineCrashed, LabelFailed, NotConverged
from sim_daemon.labelling import Guard, label_with_care

STRUCTURE = Structure(np.zeros((2, 3)), np.array([1, 1]), np.zeros((3, 3)), np.zeros(3, bool))
GOOD = Label(STRUCTURE, -10.0, np.array([[0, 0, -3.0], [0, 0, 3.0]]), None, 0, 1, "f")


class Script:
    """An engine that answers from a list; a list that is too short fails the test."""

    fingerprint = "f"

    def __init__(self, *answers, rungs=2):
        self.answers, self.rungs, self.asked = list(answers), rungs, []

    def label(self, structure, rung=0):
        self.asked.append(rung)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def stuck():
    return NotConverged("no")


def crash():
    return EngineCrashed("boom", next="look at the log")


def test_a_good_label_costs_one_call():
    done = label_with_care(Script(GOOD), STRUCTURE, 3, None)
    assert (done.label, done.refused, done.calls, done.failures) == (GOOD, None, 1, 0)


def test_the_second_rung_helps():
    engine = Script(stuck(), GOOD)
    done = label_with_care(engine, STRUCTURE, 3, None)
    assert (done.label, done.calls, done.failures, engine.asked) == (GOOD, 2, 1, [0, 1])


def test_the_same_failure_of_the_ladder_twice_refuses_the_structure():
    engine = Script(*(stuck() for _ in range(4)))
    done = label_with_care(engine, STRUCTURE, 3, None)
    assert done.label is None
    assert done.refused is not None
    assert done.refused.startswith("engine_failure")
    assert (done.calls, done.failures, engine.asked) == (4, 4, [0, 1, 0, 1])


def test_one_failure_of_the_ladder_is_not_yet_a_property_of_the_structure():
    done = label_with_care(Script(stuck(), GOOD, rungs=1), STRUCTURE, 3, None)
    assert (done.label, done.refused, done.calls) == (GOOD, None, 2)


def test_two_different_failures_are_not_the_same_way():
    engine = Script(stuck(), LabelFailed("x"), stuck(), GOOD, rungs=1)
    assert label_with_care(engine, STRUCTURE, 3, None).label is GOOD


def test_an_engine_that_fails_in_another_way_each_time_ends_the_run():
    engine = Script(stuck(), LabelFailed("x"), stuck(), LabelFailed("x"), rungs=1)
    with pytest.raises(EngineFailed, match="another way"):
        label_with_care(engine, STRUCTURE, 3, None)


def test_crashes_are_repeated_on_the_same_rung():
    engine = Script(stuck(), crash(), crash(), GOOD)
    done = label_with_care(engine, STRUCTURE, 3, None)
    assert (done.label, done.calls, done.failures, engine.asked) == (GOOD, 4, 3, [0, 1, 1, 1])


def test_too_many_crashes_end_the_run_with_the_engines_exit_code():
    engine = Script(crash(), crash(), crash())
    with pytest.raises(EngineFailed, match=r"crashed 3 times.*boom; look at the log") as caught:
        label_with_care(engine, STRUCTURE, 3, None)
    assert caught.value.exit_code == Exit.ENGINE
    assert not engine.answers


@pytest.mark.parametrize(
    ("guard", "word"),
    [
        (Guard(-10.0, 4.0, 100.0), "energy"),  # -5 eV/atom is 5 above the reference
        (Guard(None, 4.0, 2.9), "force"),
        (Guard(-5.0, 4.0, 3.1), None),
        (Guard(-9.0, 4.0, 3.0), None),  # at the bound
        (Guard(None, 1e-9, 3.1), None),  # no reference: the energy is not judged
        (Guard(100.0, 4.0, 3.1), None),  # far below the reference
    ],
)
def test_guards(guard, word):
    done = label_with_care(Script(GOOD), STRUCTURE, 3, guard)
    assert done.calls == 1
    if word is None:
        assert done.label is GOOD
        assert done.refused is None
    else:
        assert done.label is None
        assert done.refused is not None
        assert done.refused.startswith("guard: ")
        assert word in done.refused
