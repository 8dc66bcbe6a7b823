"""When the simulator's loop stops for the first model; whole runs are in tests/pair."""

import time
from types import SimpleNamespace

import pytest

from sim_daemon.daemon import MORE_LABELS_S, Daemon


@pytest.fixture
def make():
    """A loop with all that decides whether it goes on."""

    def build(awaits=True, waits=False, published_s_ago=2 * MORE_LABELS_S, pairs=()):
        daemon = object.__new__(Daemon)
        daemon.chain = object()
        daemon.phases = SimpleNamespace(awaits_model=lambda chain: awaits)
        daemon.trainer = SimpleNamespace(waits=lambda: waits)
        daemon._pairs, daemon._published = list(pairs), time.monotonic() - published_s_ago
        return daemon

    return build


def test_the_simulator_awaits_the_first_model(make):
    assert make()._awaits_model()
    assert make(waits=True, published_s_ago=0.0)._awaits_model()  # its last labels have not been looked at yet
    assert not make(awaits=False)._awaits_model()


def test_a_trainer_that_waits_gets_the_labels_of_one_step_and_is_asked_again(make):
    assert not make(waits=True)._awaits_model()
    assert make(waits=True, pairs=["a label"])._awaits_model()
