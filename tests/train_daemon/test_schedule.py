"""When to train, and how long."""

import pytest

from train_daemon.schedule import FIRST_STEPS, LATER_STEPS, LONGEST, PATIENCE, Rules, Schedule

RULES = Rules(labels_per_retrain=200, max_wait_s=60.0, epochs_per_retrain="auto", keep_training_when_idle=True)
QUIET = Rules(200, 60.0, "auto", False)


def test_the_first_model_waits_for_enough_labels_or_long_enough():
    start = Schedule().arrived(29, now=0.0)
    assert start.due(199, RULES, 1.0) is None
    assert start.due(200, RULES, 1.0) == "first"
    assert start.due(30, RULES, 60.0) == "first"
    assert start.due(29, RULES, 1e6) is None
    assert Schedule().due(0, RULES, 1e6) is None


def test_later_ones_come_with_enough_new_labels_or_after_a_wait():
    trained = Schedule().arrived(200, 0.0).fitted(200, published=True)
    assert trained.due(200, QUIET, 1e6) is None
    assert trained.due(400, QUIET, 0.0) == "labels"
    waiting = trained.arrived(201, now=100.0).arrived(202, now=150.0)
    assert waiting.due(202, QUIET, 159.0) is None
    assert waiting.due(202, QUIET, 160.0) == "waited"


def test_idle_training_grows_longer_and_ends_after_refusals():
    now = Schedule().fitted(200, published=True)
    lengths = []
    while now.due(200, RULES, 0.0) == "idle":
        lengths.append(now.length(RULES)[0])
        now = now.fitted(200, published=False)
        assert len(lengths) < 10
    assert lengths == [LATER_STEPS, 2 * LATER_STEPS, 4 * LATER_STEPS, LONGEST * LATER_STEPS]
    assert len(lengths) == PATIENCE
    assert now.due(400, RULES, 0.0) == "labels"
    assert now.fitted(400, published=False).due(400, RULES, 0.0) == "idle"


@pytest.mark.parametrize(("epochs", "fits", "length"), [("auto", 0, FIRST_STEPS), ("auto", 1, LATER_STEPS), (7, 0, 1), (7, 5, 1)])
def test_length_of_a_fit(epochs, fits, length):
    steps, passes = Schedule(fits=fits).length(Rules(200, 60.0, epochs, True))
    assert steps == length
    assert passes == (3 if epochs == "auto" else 7)


def test_the_schedule_survives_its_checkpoint():
    state = Schedule(300, 4, 2, waiting_since=5.0)
    assert Schedule.restore(state.dump()) == Schedule(300, 4, 2, None)
