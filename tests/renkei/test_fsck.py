"""A healthy run has no finding; every kind of damage has one; repairs move it, and both daemons start again."""

import json
import os
import shutil

import numpy as np
import pytest
import typer

from protocol import hdf5, heartbeat, names
from protocol.errors import RoleTaken, VersionClash
from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure
from protocol.store import Store
from renkei.verbs.fsck import fsck as verb


@pytest.fixture(scope="module")
def healthy(tmp_path_factory, whole_run):
    """A run of two starts of each daemon."""
    return whole_run(tmp_path_factory.mktemp("fsck") / "run")


@pytest.fixture(scope="module")
def whole_run():

    structure = Structure(np.array([[0.0, 0, 0], [0, 0, 1]]), np.array([1, 8]), np.eye(3), np.zeros(3, bool))

    def labels(number):
        label = Label(structure, float(number), np.zeros((2, 3)), None, 0, 1, "toy")
        return Batch((label,), (Origin("sim0", 0, number, 0, 0, -1, True, Phase.ADAPT, 0),))

    def model(generation, parents):
        def write(folder):
            (folder / "weights.h5").write_bytes(b"model %d" % generation)
            canary = Canary(np.zeros((1, 2, 3)), structure.numbers, np.eye(3), structure.pbc, np.zeros(1), np.zeros((1, 2, 3)))
            return Card("bpnn", generation, (1, 8), 6.0, 0, 1, "toy", {}, {}, parents, (), {}, canary)

        return write

    def make(root):
        store, digests, step, batch = Store(root, 0.05), (), 0, -1
        for _ in range(2):
            train, sim = store.claim("train"), store.claim("sim/sim0")
            sim.write_text(names.RESOLVED, "science: {seed: 1}\n")
            for _ in range(2):
                number = train.next_number
                digests = (train.publish_weights(number, model(number, digests), {}).digest,)
                train.journal.append({"event": "published", "generation": number})
                train.save_checkpoint({"cursor": {"batch": -1, "generation": number, "row": train.journal.rows_written}})
                sim.journal.append({"event": "segment", "first_step": step + 1, "digest": digests[0]}, durable=True)
                step, batch = step + 1, batch + 1
                sim.journal.append({"event": "step", "walker": 0, "step": step})
                sim.publish_batch(batch, labels(batch), {"phase": "adapt"})
                sim.publish_trajectory(step, hdf5.image(lambda file, step=step: file.create_dataset("x", data=[step])))
                sim.save_checkpoint({"cursor": {"batch": batch, "generation": -1, "row": sim.journal.rows_written}})
            sim.close()
            train.close()
        (root / "run.yaml").write_text("seed: 1\n")
        return root

    return make


@pytest.fixture
def run(healthy, tmp_path):
    """A copy to damage."""
    return shutil.copytree(healthy, tmp_path / "run", symlinks=True)


def look(run, capsys, **options):
    """(exit code, what --json prints)."""
    code = 0
    try:
        verb(run, as_json=True, **options)
    except typer.Exit as ended:
        code = ended.exit_code
    return code, json.loads(capsys.readouterr().out)


def flip(path, at=0.5):
    data = bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 4
    path.write_bytes(data)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


SIM, TRAIN = "sim/sim0/epoch-0002/", "train/epoch-0002/"
FILES = {  # file -> the kind of the finding about it
    SIM + "epoch.json": "epoch",
    SIM + "batches/batch-000002.h5": "message",
    SIM + "triggers/batch-000002.trigger": "message",
    SIM + "trajectory/000003.h5": "trajectory",
    SIM + "checkpoint.h5": "checkpoint",
    TRAIN + "weights/generation-000002/weights.h5": "message",
    TRAIN + "weights/generation-000002/card.json": "message",
    TRAIN + "triggers/weights-000003.trigger": "message",
    TRAIN + "checkpoint.prev.h5": "checkpoint",
    "sim/sim0/epoch-0001/epoch.json": "epoch",
    "sim/sim0/epoch-0001/journal.jsonl": "journal",
    "format.json": "format",
}


def test_a_healthy_run(run, capsys):
    assert look(run, capsys) == (0, {"run": str(run), "healthy": True, "living": [], "findings": [], "moved": []})
    verb(run)
    assert capsys.readouterr().out == "healthy\n"


@pytest.mark.parametrize("role", ["sim/sim0", "train"])
def test_a_healthy_copy_has_no_checkpoints_and_no_trajectories(run, capsys, role):
    for path in [*(run / role).rglob("checkpoint*.h5"), *(run / role).rglob("trajectory/*.h5")]:
        path.unlink()
    assert look(run, capsys)[0] == 13
    (run / role / names.REPLICA).write_text("{}")
    assert look(run, capsys)[0] == 0
    next((run / role).rglob("triggers/*")).write_bytes(b"")
    assert look(run, capsys)[0] == 13


@pytest.mark.parametrize("damage", [flip, truncate, lambda path: path.write_bytes(b"")], ids=["flip", "truncate", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_and_mended(run, capsys, name, damage):
    damage(run / name)
    before = sorted(path.name for path in run.rglob("*") if path.is_file())
    code, found = look(run, capsys)
    assert code == 13
    assert FILES[name] in {one["kind"] for one in found["findings"]}, found
    code, mended = look(run, capsys, mend=True)
    assert not any(one["repairable"] for one in mended["findings"]), mended
    after = sorted(path.name for path in run.rglob("*") if path.is_file() and path.name != "reasons.json")
    assert sorted({*after, "format.json"}) == sorted({*before, "format.json"}), "nothing is deleted"
    for role in ("sim/sim0", "train"):
        started = Store(run, 0.05).claim(role)
        Store(run).packets(role)
        started.close()


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("format.json", TRAIN + "checkpoint.prev.h5")])
def test_a_file_that_is_gone(run, capsys, name):
    (run / name).unlink()
    code, found = look(run, capsys)
    assert (code, found["healthy"]) == (13, False) if "checkpoint" not in name else code in (0, 13)
    look(run, capsys, mend=True)
    for role in ("sim/sim0", "train"):
        Store(run, 0.05).claim(role).close()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (SIM + "batches/batch-000099.h5", "orphan"),
        (SIM + "batches/.batch-000003.h5.0123456789ab.tmp", "temporary"),
        (SIM + "holiday.jpg", "foreign"),
        ("sim/sim0/notes.txt", "foreign"),
        ("train/.epoch-0003.0123456789ab.tmp", "temporary"),
        (SIM + "triggers/batch-000777.trigger", "message"),
    ],
)
def test_strangers_and_leftovers(run, capsys, name, kind):
    (run / name).write_bytes(b"foreign")
    code, found = look(run, capsys)
    assert (code, [(one["kind"], one["where"]) for one in found["findings"]]) == (13, [(kind, name)])
    code, mended = look(run, capsys, mend=True)
    assert (code, mended["moved"]) == (0, [name])
    assert (run / "quarantine/fsck-0001" / name).read_bytes() == b"foreign"
    assert look(run, capsys)[0] == 0


def test_a_missing_batch_is_a_gap_also_after_a_repair(run, capsys):
    flip(run / SIM / "batches/batch-000002.h5")
    code, mended = look(run, capsys, mend=True)
    assert code == 13
    assert {one["kind"] for one in mended["findings"]} == {"gap"}


def test_a_missing_epoch_is_a_gap(run, capsys):
    shutil.rmtree(run / "sim/sim0/epoch-0001")
    code, found = look(run, capsys)
    assert code == 13
    assert "gap" in {one["kind"] for one in found["findings"]}


def test_steps_that_do_not_follow(run, capsys):
    epoch = Store(run, 0.05).claim("sim/sim0")
    epoch.journal.append({"event": "step", "walker": 0, "step": 7})
    epoch.close()
    _, found = look(run, capsys)
    assert found["findings"][0]["what"] == "walker 0: step 7 follows step 4"


def test_a_model_that_the_ledger_names(run, capsys):
    shutil.rmtree(run / "train/epoch-0001/weights/generation-000001")
    (run / "train/epoch-0001/triggers/weights-000001.trigger").unlink()
    assert "model" in {one["kind"] for one in look(run, capsys)[1]["findings"]}


def test_a_model_without_its_trigger_stays_if_a_ledger_names_it(run, capsys):
    (run / TRAIN / "triggers/weights-000003.trigger").unlink()
    kinds = [one["kind"] for one in look(run, capsys, mend=True)[1]["findings"]]
    assert "orphan" not in kinds
    assert "model" not in kinds
    assert (run / TRAIN / "weights/generation-000003/card.json").is_file()


def test_a_living_run_is_not_repaired(run):
    epoch = Store(run, 0.05).claim("sim/sim0")
    (run / "sim/sim0/notes.txt").write_text("x")
    with pytest.raises(RoleTaken, match="living"):
        verb(run, mend=True)
    assert (run / "sim/sim0/notes.txt").exists()
    epoch.close()
    assert heartbeat.read(epoch.folder / "heartbeat.json")["state"] == "gone"


def test_a_newer_format(run):
    (run / "format.json").write_text('{"format": 9}')
    with pytest.raises(VersionClash, match="format 9"):
        verb(run)
