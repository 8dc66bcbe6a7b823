"""Two levels by both daemons, end to end on a toy: killed in the middle, gone on with, replayed, audited and reported."""

import json

import numpy as np
import pytest

from renkei.cli import main

DIMER = "2\n\nNe 0.0 0.0 0.0\nNe 3.1 0.0 0.0\n"  # one distance: a small network learns it within seconds
SCIENCE = """
science:
  system: {structure: dimer.xyz, restraint: {radius_A: 2.5, k_eV_per_A2: 0.1}}
  engine: {name: lennard_jones, epsilon_eV: 0.00308, sigma_A: 2.74}
  sampler:
    name: sl_pihmc
    ensemble: {temperature_K: 10}
    beads: 4
    walkers: 2
    timestep_fs: 4.0
    trajectory_max_fs: 800
    startup: trajectories
  learner: {name: chebyshev_bpnn, radial: {order: 8, cutoff_A: 8.0}, angular: {order: 2, cutoff_A: 6.0}, hidden: [10, 10]}
  coupling: {labels_per_retrain: 80, max_wait_s: 3, first_segment_steps: 5, segment_steps: 20}
  phases:
    adapt: {max_steps: 100000}
    production: {estimator: two_level, steps: 20, two_level: {rings: 12, surrogate_samples: 600, probe_rings: 10}}
machine: {simulator: {ranks: 1}, trainer: {device: cpu}}
"""


def seen(pair):
    """What the steps of a run found, without times."""
    return [(row["step"], row["walker"], row["move"], row["observables"]) for row in pair.rows()]


def test_killed_gone_on_with_and_replayed(make_pair, tmp_path, capsys):
    source = tmp_path / "levels.yaml"
    source.write_text(SCIENCE)
    (tmp_path / "dimer.xyz").write_text(DIMER)
    pair = make_pair("levels", source=source)
    trainer, simulator = pair.trainer(), pair.simulator()
    pair.wait_for(lambda: len(pair.used()) >= 2, 600)
    pair.control("FREEZE")
    pair.wait_for(lambda: any(row["move"].startswith("level") for row in pair.rows()), 600)
    pair.kill(simulator)
    kept = seen(pair)
    assert not pair.rows("block_end")
    simulator = pair.simulator()
    pair.wait_for(lambda: simulator.poll() is not None, 600)
    pair.kill(trainer)
    assert simulator.returncode == 0, simulator.output.read_text()
    told = seen(pair)
    assert told[: len(kept)] == kept
    block = [row for row in pair.rows() if row["block"] == pair.rows()[-1]["block"]]
    levels = [row for row in block if row["move"].startswith("level")]
    [allocation] = [row for row in pair.rows("allocation") if row["block"] == block[0]["block"]]
    doublings = sum(row["block"] == block[0]["block"] for row in pair.rows("lengthen"))  # by what the model of this machine says
    rings, samples = 12 + 6 * doublings, 600 * 2**doublings
    assert samples == len(levels) == 2 * allocation["every"] * allocation["ring_steps"] * 2**doublings
    assert sum(row["engine_calls"] for row in levels) == rings * 4
    undisturbed = make_pair("undisturbed", source=source)
    replay = undisturbed.simulator("--replay", str(pair.run))
    undisturbed.wait_for(lambda: replay.poll() is not None, 600)
    assert replay.returncode == 0, replay.output.read_text()
    np.testing.assert_array_equal(undisturbed.chain(), pair.chain())
    assert seen(undisturbed) == told
    _judged(pair, capsys, rings, samples)


def _judged(pair, capsys, rings, samples):
    """A dozen rings are too few to be quoted, and all that is told hangs together."""
    assert _renkei("audit", str(pair.run), "--json") == 12
    found = json.loads(capsys.readouterr().out)
    assert any(f"{rings} labelled rings" in reason for reason in found["reasons"])
    checks = {check["name"]: check["outcome"] for check in found["simulators"]["sim0"]["checks"]}
    assert (checks["frozen"], checks["flip"]) == ("holds", "holds")
    assert {"weights", "starts", "chain", "free energy", "forbidden"} <= checks.keys()
    assert _renkei("report", str(pair.run)) == 0
    report = json.loads((pair.run / "report" / "report.json").read_text())["simulators"]["sim0"]
    assert report["two_level"]["rings"] == rings
    virial, terms = report["observables"]["energy_virial_eV"], report["two_level"]["terms"]["energy_virial_eV"]
    assert virial["mean"] == pytest.approx(terms["surrogate"]["mean"] + terms["correction"]["mean"], abs=0.3 * virial["stderr"])
    assert virial["stderr"] > 0
    capsys.readouterr()
    assert _renkei("analyze", str(pair.run), "--observable", "energy,distances") == 0
    assert f"{samples} samples of the surrogate's run, {rings} of them labelled" in " ".join(capsys.readouterr().out.split())
    assert _renkei("status", str(pair.run), "--json") in (0, 13)  # the trainer was killed
    assert json.loads(capsys.readouterr().out)["simulators"]["sim0"]["phase"] == "done"


def _renkei(*words):
    """Exit code of a command."""
    with pytest.raises(SystemExit) as exit_code:
        main(words)
    return exit_code.value.code
