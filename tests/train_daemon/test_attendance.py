"""Who feeds the trainer is noted once for each coming and going."""

import logging

import pytest

from protocol.channels import files
from protocol.store import Store
from train_daemon.attendance import Attendance


@pytest.fixture
def starts(tmp_path):
    """starts() -> the attendance of the next start of the trainer."""
    made = []

    def close():
        for hall in made:
            hall.channel.close()
            hall.epoch.close()
        made.clear()

    def start():
        close()
        store = Store(tmp_path)
        epoch = store.claim("train")
        channel = files.build(files.Settings(poll_s=0.05), store, "train", epoch)
        made.append(Attendance(store, epoch, channel, logging.getLogger("test")))
        return made[0]

    yield start
    close()


@pytest.fixture
def hall(starts):
    return starts()


def notes(hall):
    rows = hall.store.all_rows("train")
    return [(row["simulator"], row["epoch"], row["what"]) for row in rows if row["event"] == "simulator"]


def test_joining_leaving_dying_and_completing(hall):
    hall.look()
    assert notes(hall) == []
    cold, hot = hall.store.claim("sim/cold"), hall.store.claim("sim/hot")
    hall.look()
    hall.look()
    assert notes(hall) == [("cold", 1, "joined"), ("hot", 1, "joined")]
    hot.close("gone")
    hall.look()
    again = hall.store.claim("sim/hot")
    hall.look()
    assert notes(hall)[2:] == [("hot", 1, "left"), ("hot", 2, "joined")]
    cold.heartbeat.update(complete=True)
    cold.close("finishing")
    hall.look()
    again.heartbeat.close("alive")
    path = again.folder / "heartbeat.json"
    path.write_text(path.read_text().replace('"pid":', '"pid": 4194302, "was":'))  # a process that has ended
    hall.look()
    assert notes(hall)[4:] == [("cold", 1, "completed"), ("hot", 2, "died")]
    hall.epoch.heartbeat._beat()
    assert hall.store.heartbeat("train")["simulators"] == {"cold": "finishing", "hot": "gone"}


def killed_elsewhere(epoch):
    """Stop a simulator's beats as the death of another machine does: the last one says alive for ever."""
    epoch.heartbeat.close("alive")
    path = epoch.folder / "heartbeat.json"
    path.write_text(path.read_text().replace('"host": "', '"host": "elsewhere-'))


def test_what_happened_before_the_trainers_first_start_is_no_news(starts, tmp_path):
    store = Store(tmp_path)
    killed_elsewhere(store.claim("sim/dead"))
    done = store.claim("sim/done")
    done.heartbeat.update(complete=True)
    done.close("finishing")
    alive = store.claim("sim/alive")
    hall = starts()
    hall.look()
    assert hall.channel.peers()["dead"].works, "nobody can know yet"
    hall.store._watches["sim/dead"][1]._moved_at -= 1000  # its counter has stood still for long
    alive.heartbeat._beat()
    hall.look()
    assert notes(hall) == [("alive", 1, "joined")]
    assert not hall.channel.peers()["dead"].works
    alive.close()


def test_what_earlier_starts_have_noted_is_no_news(starts):
    hall = starts()
    epochs = {name: hall.store.claim(f"sim/{name}") for name in ("stays", "dies", "leaves", "returns")}
    hall.look()
    killed_elsewhere(epochs["dies"])
    hall.look()
    hall.store._watches["sim/dies"][1]._moved_at -= 1000
    hall.look()
    before = notes(hall)
    assert before[4:] == [("dies", 1, "died")]
    hall = starts()
    epochs["leaves"].close("gone")  # while no trainer looks: this is news
    epochs["returns"].close("gone")
    epochs["returns"] = hall.store.claim("sim/returns")
    for _ in range(2):
        hall.look()
        epochs["stays"].heartbeat._beat()
    assert notes(hall) == [*before, ("leaves", 1, "left"), ("returns", 2, "joined")]
    hall = starts()
    hall.look()
    epochs["stays"].heartbeat._beat()
    epochs["returns"].heartbeat._beat()
    hall.look()
    assert len(notes(hall)) == len(before) + 2
    for name in ("stays", "returns"):
        epochs[name].close()
