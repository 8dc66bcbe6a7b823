from protocol import scan
from protocol.scan import Finding, Scan


def test_what_was_good_once_is_not_read_again(store, make_batch, monkeypatch):
    epoch = store.claim("sim/sim0")
    for number in range(3):
        epoch.publish_batch(number, make_batch(number), {})
    mine = Scan(store.root, "sim/sim0")
    first = mine.update()
    assert [(entry.finding, entry.place, entry.after) for entry in first] == [
        (Finding.VALID, (1, 0), None),
        (Finding.VALID, (1, 1), 0),
        (Finding.VALID, (1, 2), 1),
    ]
    monkeypatch.setattr(scan, "_read_trigger", None)
    assert mine.update() == first
    epoch.close()


def test_files_that_are_not_triggers_are_left_alone(store):
    epoch = store.claim("sim/sim0")
    for name in ("notes.txt", ".batch-000000.trigger.abc.tmp", "batch-000000.h5"):
        (epoch.folder / "triggers" / name).write_text("x")
    assert Scan(store.root, "sim/sim0").update() == []
    epoch.close()


def test_retracted_is_told_and_not_hidden(store, make_batch):
    epoch = store.claim("sim/sim0")
    epoch.publish_batch(0, make_batch(0), {})
    epoch.close()
    again = store.claim("sim/sim0")
    [entry] = Scan(store.root, "sim/sim0").update()
    assert entry.retracted
    assert entry.packet.number == 0
    (again.folder / "triggers" / "other.trigger").write_text("{}")
    assert [entry.finding for entry in Scan(store.root, "sim/sim0").update()] == [Finding.VALID, Finding.REFUSED]
    again.close()
