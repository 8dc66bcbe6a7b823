"""Progress says what the heartbeats say."""

import io
import json

from rich.console import Console

from renkei.progress import Progress, sentence

SIM = {
    "phase": "adapt",
    "step": 12,
    "steps_planned": 400,
    "generation": 2,
    "acceptance_recent": 0.756,
    "trajectory_fs": 80.0,
    "labels": 900,
}


def test_sentences():
    assert sentence("sim/sim0", {}) == "starting"
    assert sentence("sim/sim0", SIM) == "adapt, step 12, generation 2, acceptance 0.76, trajectory 80.0 fs, 900 labels"
    producing = sentence("sim/sim0", SIM | {"phase": "production", "block_step": 5})
    assert producing.startswith("production, step 12 (production: 5 of 400), generation 2")
    assert sentence("sim/sim0", SIM | {"generation": -1}).split(", ")[2] == "first principles alone"
    assert (
        sentence("train", {"activity": "training", "generation": -1, "loss": 0.0123456})
        == "training, no generation yet, loss 0.0123"
    )
    assert sentence("train", {"state": "alive", "generation": 3}) == "generation 3"


def test_plain_lines_outside_a_terminal(tmp_path):
    folder = tmp_path / "sim" / "sim0" / "epoch-0001"
    folder.mkdir(parents=True)
    beat = SIM | {"counter": 1, "period_s": 2.0, "state": "alive"}
    (folder / "heartbeat.json").write_text(json.dumps(beat))
    sink = io.StringIO()
    progress = Progress(tmp_path, ["sim/sim0", "train"], False, Console(file=sink, width=200))
    progress.tick()
    progress.tick()
    progress.close()
    assert sink.getvalue() == f"sim/sim0: {sentence('sim/sim0', SIM)}\ntrain: starting\n"


def test_quiet(tmp_path):
    sink = io.StringIO()
    progress = Progress(tmp_path, ["train"], True, Console(file=sink))
    progress.tick()
    progress.close()
    assert sink.getvalue() == ""
