"""The whole pair under torture: at the end an undisturbed chain, each batch once in the trainer's set, models without a gap.

TORTURE_ROUNDS says how many rounds (default 9: each kind once), TORTURE_SEED of which hand.
"""

import os
import random
import sys
from pathlib import Path

import lazy
import numpy as np
import pytest
from torture import KINDS, SIM, TRAIN, Torture

from protocol import checkpoint
from protocol.store import Store
from renkei import fsck, trajectory

ROUNDS = int(os.environ.get("TORTURE_ROUNDS", len(KINDS)))
SEED = int(os.environ.get("TORTURE_SEED", "1"))


@pytest.fixture
def torture(make_pair, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    lazy.lay_out(tmp_path)
    endless = lazy.SCIENCE.replace("production: {steps: 20,", "production: {steps: 1000000,")
    (tmp_path / "tortured.yaml").write_text(endless)
    made = Torture(make_pair("tortured", source=tmp_path / "tortured.yaml"), random.Random(SEED))
    yield made
    made.close()


def kinds(rng):
    """Each kind once, in any order; then again."""
    while True:
        yield from rng.sample(KINDS, len(KINDS))


def finish(torture):
    """Everything is given back, some steps of production follow, both are stopped in order."""
    assert torture.unnamed() == []
    torture.restore()
    torture.up(SIM, TRAIN)
    torture.pair.control("FREEZE")
    torture.pair.wait_for(lambda: (Store(torture.run).heartbeat(SIM) or {}).get("block_step", 0) > 12)
    for role in (SIM, TRAIN):
        process = torture.living[role]
        torture.pair.control(f"STOP-{role.removeprefix('sim/')}")
        torture.pair.wait_for(lambda process=process: process.poll() is not None)
        assert process.returncode == 0, process.output.read_text()
    left = [finding for finding in fsck.check(torture.run) if finding.kind not in ("temporary", "orphan")]
    assert left == []


def test_torture(torture, make_pair, tmp_path, monkeypatch, record_property):
    torture.up(SIM, TRAIN)
    torture.pair.wait_for(lambda: any(row["generation"] >= 0 for row in torture.pair.rows(role=SIM)))
    acts = kinds(random.Random(SEED))
    for _ in range(ROUNDS):
        torture.round(next(acts))
    finish(torture)
    judged(torture, make_pair, tmp_path, monkeypatch, record_property)


def judged(torture, make_pair, tmp_path, monkeypatch, record_property):
    """What the run must be after all that."""
    store = Store(torture.run)
    rows = [row for row in store.ledger(SIM) if row["event"] == "step"]
    assert [row["step"] for row in rows] == [step for step in range(1, len(rows) // 2 + 1) for _ in range(2)]
    final = {(row["step"], row["walker"]): row["log_ratio"] for row in rows}
    assert {place: final[place] for place in torture.seen} == torture.seen, "a row that stood there has changed"
    saved = checkpoint.load((store.epochs(TRAIN)[-1].folder / "checkpoint.h5").read_bytes())
    assert sorted(saved["batches"]) == sorted(f"{p.sender}/{p.epoch}/{p.number}" for p in store.packets(SIM))
    origins = [origin for packet in store.packets(SIM) for origin in store.read_batch(packet).origins if origin.step > 0]
    places = [(origin.step, origin.walker, origin.point, origin.bead) for origin in origins]
    assert len(set(places)) == len(places), "a label was sent twice"
    assert {step for step, *_ in places} == {row["step"] for row in rows}, "a step's labels were lost"
    models(store)
    replayed(torture, len(rows) // 2, make_pair, tmp_path, monkeypatch)
    counts, told = torture.counts, [line for line in torture.sentences if "the disk is full" not in line]
    record_property(
        "told",
        f"torture of a real pair: {counts['rounds']} rounds, "
        f"{counts['kills']} kills ({counts['kills by its own calls']} between two calls), "
        f"{counts['stops']} stops, {counts['full disks']} full disks, {counts['hostile acts']} files or folders deleted or cut "
        f"({len(told)} times told in one sentence and restored), survived {counts['rounds']}; {len(rows) // 2} steps replayed",
    )


def models(store):
    """Every model's parent is the one before it that counts or counted; numbers only grow."""
    packets = store.packets(TRAIN)
    numbers = [packet.number for packet in packets]
    assert numbers == sorted(set(numbers))
    for packet in packets[1:]:
        [parent] = store.read_card(packet).parents
        found = store.find(TRAIN, parent)
        assert found is not None
        assert found.number < packet.number


def replayed(torture, steps, make_pair, tmp_path, monkeypatch):
    """The schedule without a disturbance gives the same bits."""
    monkeypatch.setenv("LAZY_S", "0")
    again = make_pair("again", source=tmp_path / "tortured.yaml")
    process = again.start(sys.executable, "-m", "sim_daemon", str(again.run), "--replay", str(torture.run), "--steps", str(steps))
    again.wait_for(lambda: process.poll() is not None, 500)
    assert process.returncode == 0, process.output.read_text()
    one, two = (trajectory.read(Store(run), SIM) for run in (torture.run, again.run))
    np.testing.assert_array_equal(one.step, two.step)
    np.testing.assert_array_equal(one.positions, two.positions)
    np.testing.assert_array_equal(one.cells, two.cells)
