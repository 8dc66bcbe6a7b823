import pytest

from protocol.errors import Torn
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
        epoch.close()
        with pytest.raises(FileExistsError):
            epoch.publish_trajectory(epoch.number, b"other")
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
