import pytest

from protocol.errors import ProtocolError, Torn
from protocol.store import Store


def test_an_empty_or_missing_folder(tmp_path):
    store = Store(tmp_path / "none")
    assert (
        store.simulators()
        == store.roles()
        == store.packets("train")
        == store.ledger("train")
        == store.trajectories("train")
        == []
    )
    assert store.control() == set()
    assert store.heartbeat("train") is None
    assert store.find("train", "x") is None
    assert not (tmp_path / "none").exists()


def test_roles_and_heartbeats(store):
    made = [store.claim(role) for role in ("train", "sim/b", "sim/a")]
    (store.root / "sim" / ".hidden").mkdir()
    (store.root / "sim" / "file").touch()
    assert store.simulators() == ["a", "b"]
    assert store.roles() == ["sim/a", "sim/b", "train"]
    assert store.heartbeat("train")["state"] == "alive"
    for epoch in made:
        epoch.close()
    assert store.heartbeat("train")["state"] == "gone"


def test_reads_verify_again(store, make_batch, write_model):
    sim, train = store.claim("sim/sim0"), store.claim("train")
    labels, model = sim.publish_batch(0, make_batch(0), {}), train.publish_weights(0, write_model(0), {})
    assert store.packets("sim/sim0") == [labels]
    labels.path.write_bytes(labels.path.read_bytes()[:-5])
    (model.path / "weights.h5").write_bytes(b"other")
    with pytest.raises(Torn):
        store.read_batch(labels)
    with pytest.raises(Torn):
        store.read_card(model)
    sim.close()
    train.close()


def test_trajectories_of_all_epochs(store):
    for data in (b"one", b"two"):
        epoch = store.claim("sim/sim0")
        epoch.publish_trajectory(epoch.number, data)
        with pytest.raises(ProtocolError, match="never replaced"):
            epoch.publish_trajectory(epoch.number, b"other")
        epoch.close()
    assert [path.read_bytes() for path in store.trajectories("sim/sim0")] == [b"one", b"two"]


def test_ledger_passes_over_damage_after_the_adopted_rows_only(store, cursor):
    first = store.claim("sim/sim0")
    first.journal.append({"step": 0})
    first.journal.append({"step": 1})
    first.save_checkpoint(cursor(-1, -1, 1))
    first.close()
    path = first.folder / "journal.jsonl"
    path.write_bytes(b'{"step": 0}\nrubbish\n{"step": 1}\n')
    second = store.claim("sim/sim0")
    assert store.ledger("sim/sim0") == [{"step": 0}]
    path.write_bytes(b'rubbish\n{"step": 1}\n')
    with pytest.raises(Torn, match="adopted"):
        store.ledger("sim/sim0")
    second.close()


def test_a_simulator_is_complete_when_its_newest_start_has_said_so_and_ended(store):
    assert not store.complete("sim/sim0")
    first = store.claim("sim/sim0")
    first.heartbeat.update(complete=True)
    assert not store.complete("sim/sim0")  # it lives
    first.close("finishing")
    assert store.complete("sim/sim0")
    again = store.claim("sim/sim0", takeover=True)
    assert not store.complete("sim/sim0")
    again.close()
    assert not store.complete("sim/sim0")


def test_a_model_that_a_ledger_names_is_found_without_its_trigger(store, write_model):
    """A power cut took the trigger after a simulator had written the digest into its ledger."""
    epoch = store.claim("train")
    packet = epoch.publish_weights(0, write_model(0), {})
    (epoch.folder / "triggers/weights-000000.trigger").unlink()
    fresh = Store(store.root)
    assert fresh.packets("train") == []
    assert fresh.find("train", packet.digest).path == packet.path
    (packet.path / "weights.h5").write_bytes(b"other")
    assert fresh.find("train", packet.digest) is None
    epoch.close()


def test_rows_lost_after_the_last_checkpoint_do_not_hide_the_ledger(store, cursor):
    """A power cut leaves zeros where rows were and rows after them: read up to there, but never short of a checkpoint."""
    epoch = store.claim("sim/sim0")
    for row in range(4):
        epoch.journal.append({"step": row})
        if row == 1:
            epoch.save_checkpoint(cursor(-1, -1, 2))
    epoch.close()
    path = epoch.folder / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], bytes(len(lines[2]) - 1) + b"\n", lines[3]]))
    assert store.ledger("sim/sim0") == [{"step": 0}, {"step": 1}]
    path.write_bytes(b"".join([lines[0], bytes(len(lines[1]) - 1) + b"\n", *lines[2:]]))
    with pytest.raises(Torn, match="line 2"):
        store.ledger("sim/sim0")
