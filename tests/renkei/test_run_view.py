"""The picture of a run folder, at every stage of its life."""

import pytest

from protocol.errors import BadSetting
from protocol.records import PeerState
from protocol.store import Store
from renkei import run_view


def test_a_finished_run(sound_run):
    view = run_view.read(sound_run)
    [simulator] = view.simulators
    assert simulator.name == "sim0"
    assert simulator.phase == "done"
    assert simulator.used_generations == [0, 1, 2]
    assert len(simulator.ledger) == 2 * 470
    assert simulator.setting("sampler.ensemble.temperature_K") == 300.0
    assert simulator.setting("sampler.nothing.of_that") is None
    assert simulator.state == PeerState.GONE
    assert [row["generation"] for row in view.trainer.published] == [0, 1, 2]
    assert [packet.number for packet in view.weights] == [0, 1, 2]
    assert view.control == frozenset()


def test_every_call_is_counted(sound_run):
    view = run_view.read(sound_run)
    assert view.calls == 40 + 2 * 470 * 4
    assert view.simulators[0].cost.failures == 1


def test_no_trainer(make_run):
    view = run_view.read(make_run(trainer=False, blocks=()))
    assert view.trainer is None
    assert view.weights == ()
    assert view.simulators[0].used_generations == [0, 1, 2]


def test_before_the_first_step(make_run):
    view = run_view.read(make_run(adapt=0, blocks=()))
    assert view.simulators[0].phase == "startup"
    assert view.calls == 40


def test_nothing_there(tmp_path):
    assert run_view.read(tmp_path).simulators == ()
    with pytest.raises(BadSetting, match="no such run folder"):
        run_view.read(tmp_path / "nowhere")


def test_a_living_daemon_and_its_control_files(tmp_path):
    epoch = Store(tmp_path, period_s=0.05).claim("sim/hot")
    epoch.heartbeat.update(state="paused", phase="adapt")
    epoch.journal.append({"event": "start", "epoch": 1})
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "STOP").touch()
    epoch.heartbeat.close("paused")
    view = run_view.read(tmp_path)
    epoch.journal.close()
    assert view.simulators[0].state == PeerState.PAUSED
    assert view.simulators[0].heartbeat["phase"] == "adapt"
    assert view.control == {"STOP"}


def test_time_and_calls_of_every_start_are_counted(tmp_path):
    """A start that ended in order, one that was killed after its heartbeat, and rows that no start adopted."""
    store = Store(tmp_path, period_s=0.05)
    first = store.claim("sim/sim0")
    first.journal.append({"event": "start", "epoch": 1})
    first.journal.append(_step(1, accepted=True))
    first.save_checkpoint({"cursor": {"batch": -1, "generation": -1, "row": 2}})
    first.journal.append(_step(2, accepted=True))
    first.journal.append({"event": "end", "reason": "STOP", "activities": {"engine": 2.0, "other": 1.0}})
    first.close()
    second = store.claim("sim/sim0")
    second.journal.append({"event": "start", "epoch": 2})
    second.journal.append(_step(2, accepted=False))
    second.heartbeat.update(activities={"engine": 10.0, "io": 0.5})
    second.close()
    [simulator] = run_view.read(tmp_path).simulators
    assert simulator.activities == {"engine": 12.0, "other": 1.0, "io": 0.5}
    assert simulator.cost.calls == 15
    assert simulator.ledger.accepted.tolist() == [True, False]


def _step(number, accepted):
    row = {"event": "step", "step": number, "walker": 0, "phase": "adapt", "block": 0, "generation": -1}
    return {**row, "accepted": accepted, "engine_calls": 5}
