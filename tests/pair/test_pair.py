"""Both daemons end to end, as processes under mpirun, on a first-principles method."""

import json
import os
import signal
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from protocol.store import Store


def test_the_pair_reaches_the_end_with_models_published_and_used(finished):
    steps = finished.rows()
    assert sum(row["phase"] == "production" for row in steps) == 40
    used = finished.used()
    published = [row["generation"] for row in finished.rows("published", "train")]
    assert len(used) >= 2
    assert used <= set(published)
    last = max(Store(finished.run).packets("train"), key=lambda p: p.number)
    card = Store(finished.run).read_card(last)
    assert len(card.batches) >= 2
    assert card.parents


def test_a_parent_chain_without_a_gap(finished):
    store = Store(finished.run)
    packets = store.packets("train")
    digests = [p.digest for p in packets]
    for packet, before in zip(packets[1:], digests, strict=False):
        assert before in store.read_card(packet).parents


def test_no_weights_change_inside_production(finished):
    assert len({row["digest"] for row in finished.rows() if row["phase"] == "production"}) == 1


def test_activities_sum_to_the_wall_time(finished):
    rows = Store(finished.run).ledger("sim/sim0")
    end = next(row for row in rows if row["event"] == "end")["activities"]
    start, last = next(r["unix"] for r in rows if r["event"] == "start"), [r["unix"] for r in rows if r["event"] == "step"][-1]
    assert sum(end.values()) >= last - start
    assert end["engine"] > 0
    assert end["surrogate"] > 0


def test_replay_gives_the_same_chain_on_any_number_of_ranks(finished, make_pair):
    """The schedule of the two-rank run, imposed on one and three ranks without a trainer: equal bits."""
    want = finished.chain()
    for ranks in (1, 3):
        again = make_pair(f"ranks{ranks}")
        process = again.simulator("--replay", str(finished.run), ranks=ranks)
        again.wait_for(lambda process=process: process.poll() is not None, 240)
        assert process.returncode == 0, process.output.read_text()
        np.testing.assert_array_equal(again.chain(), want)


def test_kill_and_restart_against_the_undisturbed_replay(make_pair):
    """kill -9 both in mid-run, the trainer started again first; then the whole schedule without disturbance: equal bits."""
    pair = make_pair("killed")
    trainer, simulator = pair.trainer(), pair.simulator(ranks=2)
    pair.wait_for(pair.used, 240)
    pair.kill(simulator)
    pair.kill(trainer)
    kept = pair.rows()
    trainer, simulator = pair.trainer(), pair.simulator()
    pair.wait_for(lambda: len(pair.rows()) > len(kept) + 5, 240)
    pair.control("FREEZE")
    pair.wait_for(lambda: simulator.poll() is not None, 240)
    assert simulator.returncode == 0, simulator.output.read_text()
    rows = pair.rows()
    assert [(r["step"], r["log_ratio"]) for r in rows[: len(kept)]] == [(r["step"], r["log_ratio"]) for r in kept]
    assert [r["step"] for r in rows] == list(range(1, len(rows) + 1))
    undisturbed = make_pair("undisturbed")
    replay = undisturbed.simulator("--replay", str(pair.run))
    undisturbed.wait_for(lambda: replay.poll() is not None, 240)
    assert replay.returncode == 0, replay.output.read_text()
    np.testing.assert_array_equal(undisturbed.chain(), pair.chain())


def test_the_simulator_never_waits_for_a_stopped_trainer(make_pair):
    pair = make_pair("stopped")
    trainer, simulator = pair.trainer(), pair.simulator()
    pair.wait_for(pair.used, 240)
    os.kill(trainer.pid, signal.SIGSTOP)
    before = len(pair.rows())
    time.sleep(6)
    pair.wait_for(lambda: len(pair.rows()) > before + 5, 12)  # before the trainer counts as gone
    os.kill(trainer.pid, signal.SIGCONT)
    pair.control("STOP")
    pair.wait_for(lambda: simulator.poll() is not None and trainer.poll() is not None, 60)
    assert (simulator.returncode, trainer.returncode) == (0, 0)


def test_a_second_simulator_is_refused_and_the_first_lives_on(make_pair):
    pair = make_pair("second")
    first = pair.simulator()
    pair.wait_for(lambda: len(pair.rows()) > 2)
    second = pair.simulator()
    pair.wait_for(lambda: second.poll() is not None, 60)
    assert second.returncode == 4
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGTERM)
    pair.wait_for(lambda: first.poll() is not None, 60)


def test_a_sigterm_ends_cleanly_and_the_same_command_goes_on(make_pair):
    pair = make_pair("term", "phases.adapt.max_steps=20", "phases.production.steps=10")
    first = pair.simulator(ranks=2)  # the signal reaches all ranks
    pair.wait_for(lambda: len(pair.rows()) >= 3)
    os.killpg(first.pid, signal.SIGTERM)
    pair.wait_for(lambda: first.poll() is not None, 60)
    assert first.returncode == 0, first.output.read_text()
    done = len(pair.rows())
    second = pair.simulator()
    pair.wait_for(lambda: second.poll() is not None, 120)
    assert second.returncode == 0, second.output.read_text()
    steps = [row["step"] for row in pair.rows()]
    assert steps == list(range(1, 31))
    assert done <= 30


def test_a_changed_science_key_at_resume_is_refused_by_name(make_pair):
    pair = make_pair("changed", "phases.adapt.max_steps=2", "phases.production.steps=1")
    first = pair.simulator()
    pair.wait_for(lambda: first.poll() is not None, 60)
    text = (pair.run / "run.yaml").read_text()
    (pair.run / "run.yaml").write_text(text.replace("beads: 4", "beads: 8"))
    second = pair.simulator()
    pair.wait_for(lambda: second.poll() is not None, 60)
    assert second.returncode == 2
    said = second.output.read_text()
    assert "sampler.beads" in said
    assert "Traceback" not in said


def test_a_damaged_batch_and_a_foreign_trigger_are_told_and_do_not_stop_the_trainer(make_pair):
    pair = make_pair("damaged")
    simulator = pair.simulator()
    pair.wait_for(lambda: len(Store(pair.run).packets("sim/sim0")) >= 3)
    first = Store(pair.run).packets("sim/sim0")[0]
    first.path.write_bytes(bytes(100) + first.path.read_bytes()[100:])
    foreign = first.path.parent.parent / "triggers" / "batch-000777.trigger"
    foreign.write_text(json.dumps({"hello": "I am no trigger"}))
    trainer = pair.trainer()
    pair.wait_for(lambda: pair.rows("published", "train"))
    quarantine = list((pair.run / "train").glob("epoch-*/quarantine/*reason.txt"))
    assert any("777" in path.name for path in quarantine), quarantine
    assert simulator.poll() is None
    assert trainer.poll() is None


@pytest.mark.needs_pw
def test_quantum_espresso_samples_silicon(make_pair):
    """The shipped configuration, real pw.x by files, a few Markov steps under MPI."""
    source = Path(__file__).parents[2] / "configs" / "silicon-qe.yaml"
    pair = make_pair("silicon", "sampler.beads=2", "sampler.startup=trajectories", source=source)
    simulator = pair.simulator("--steps", "2", ranks=2)
    pair.wait_for(lambda: simulator.poll() is not None, 400)
    assert simulator.returncode == 0, simulator.output.read_text()
    rows = pair.rows()
    assert [row["step"] for row in rows] == [1, 2]
    assert all(np.isfinite(row["log_ratio"]) and row["engine_calls"] > 0 for row in rows)


def test_a_goal_doubles_the_block_and_survives_a_restart(make_pair):
    """A block of 20 steps until 60 effective samples or 80 steps, stopped in between; the goal is tested at 20, 40 and 80."""
    source = Path(__file__).parents[2] / "configs" / "toy.yaml"
    goal = ("sampler.name=pihmc", "sampler.trajectory_fs=100", "phases.adapt.max_steps=10", "phases.production.steps=20")
    until = "phases.production.until={effective_samples: 60, of: [radius_of_gyration_Ne_A]}"
    pair = make_pair("goal", *goal, until, "phases.production.max_steps=80", source=source)
    for options in (("--steps", "37"), ()):
        job = pair.simulator(*options)
        pair.wait_for(lambda job=job: job.poll() is not None, 120)
        assert job.returncode == 0, job.output.read_text()
    tested = [row["steps"] for row in pair.rows("goal")]
    [end] = pair.rows("block_end")
    assert tested[:1] == [20]
    assert tested == [steps for steps in (20, 40, 80) if steps < end["steps"] or steps == end["steps"] == tested[-1]]
    assert sum(row["phase"] == "production" for row in pair.rows()) == end["steps"]


def test_a_goal_for_a_number_that_the_ledger_lacks_is_refused_at_once(make_pair):
    source = Path(__file__).parents[2] / "configs" / "toy.yaml"
    pair = make_pair("lacks", "sampler.name=pihmc", "phases.production.until={error: {volume_A3: 0.1}}", source=source)
    job = pair.simulator()
    pair.wait_for(lambda: job.poll() is not None, 60)
    assert job.returncode == 2
    assert "the ledger has no number 'volume_A3'; it has energy_primitive_eV" in job.output.read_text()


def test_an_engine_that_always_fails_ends_the_job_with_one_sentence(make_pair, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(
        "class Broken:\n    def __init__(self, **kw):\n        raise RuntimeError('no licence')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pair = make_pair("broken")
    text = (
        (pair.run / "run.yaml").read_text().replace("{name: tblite, method: GFN2-xTB}", "{name: ase, calculator: broken.Broken}")
    )
    (pair.run / "run.yaml").write_text(text)
    simulator = pair.simulator(ranks=2)
    pair.wait_for(lambda: simulator.poll() is not None, 60)
    said = simulator.output.read_text()
    assert simulator.returncode == 3, said
    assert "no licence" in said
    assert "Traceback" not in said


def test_varying_cells_survive_a_restart_and_replay_on_two_ranks(make_pair):
    """The shipped run at constant pressure, first principles alone: boxes and beads bit for bit, labels in their own cells."""
    source = Path(__file__).parents[2] / "configs" / "argon-npt.yaml"
    changes = ("sampler.startup=trajectories", "sampler.beads=2", "sampler.ensemble.cell=full", "sampler.walkers=2")
    pair, again = make_pair("argon", *changes, source=source), make_pair("again", *changes, source=source)
    for _ in range(2):
        job = pair.simulator("--steps", "6")
        pair.wait_for(lambda job=job: job.poll() is not None, 240)
        assert job.returncode == 0, job.output.read_text()
    replay = again.simulator("--replay", str(pair.run), "--steps", "12", ranks=2)
    again.wait_for(lambda: replay.poll() is not None, 240)
    assert replay.returncode == 0, replay.output.read_text()
    np.testing.assert_array_equal(again.chain(), pair.chain())
    np.testing.assert_array_equal(again.chain("box"), pair.chain("box"))
    volumes = np.abs(np.linalg.det(pair.chain("box")))
    assert len(np.unique(volumes)) > 5
    told = [row["observables"]["volume_A3"] for row in pair.rows()]
    np.testing.assert_allclose(told, volumes.ravel())
    with h5py.File(Store(pair.run).packets("sim/sim0")[-1].path, "r") as file:
        assert len(np.unique(file["cell"][:], axis=0)) > 1
