"""The content of report.json: its stable keys, and numbers that the synthetic run is known to have."""

import json

import numpy as np
import pytest

from protocol import jsontext
from renkei import results, run_view


def report_of(root):
    view = run_view.read(root)
    return jsontext.plain(results.report(view, results.read_trajectories(view)))


def keys(tree, depth):
    return {name: keys(branch, depth - 1) if isinstance(branch, dict) and depth else None for name, branch in tree.items()}


def test_stable_keys(sound_run):
    found = report_of(sound_run)
    assert {"run", "phase", "sampling", "observables", "weights", "engine", "balance", "audit"} <= set(found)
    sampling = found["sampling"]
    assert set(sampling["steps"]) == set(sampling["acceptance"]) == {"adapt", "production"}
    assert set(sampling["exp_minus_beta_dH"]) == {"mean", "stderr"}
    assert {"trajectory_fs", "beads"} <= set(sampling)
    assert {"energy_primitive_eV", "energy_virial_eV", "kinetic_energy_eV"} <= set(found["observables"])
    assert all({"mean", "stderr", "ess", "unit"} <= set(one) for one in found["observables"].values())
    weights = {"published", "used", "generation", "energy_rmse_meV_per_atom", "force_rmse_eV_per_A"}
    assert weights <= set(found["weights"])
    assert {"name", "fingerprint", "calls", "calls_per_ess", "seconds"} <= set(found["engine"])
    assert set(found["audit"]) == {"verdict", "reasons"}
    json.dumps(found, allow_nan=False)


def test_numbers_of_a_sound_run(sound_run):
    found = report_of(sound_run)
    assert found["phase"] == "done"
    assert found["sampling"]["steps"] == {"adapt": 70, "production": 400}
    assert found["sampling"]["trajectory_fs"] == 30.0
    assert found["sampling"]["beads"] == 4
    energy = found["observables"]["energy_virial_eV"]
    assert abs(energy["mean"] + 100) < 4.5 * energy["stderr"]
    # AR(1) with phi = 0.8 in each of two walkers: tau = 4.5
    assert energy["ess"] == pytest.approx(800 / 9, rel=0.5)
    assert energy["stderr"] == pytest.approx(0.05 / np.sqrt(800 / 9), rel=0.4)
    assert energy["unit"] == "eV"
    assert found["observables"]["radius_of_gyration_H_A"]["mean"] == pytest.approx(0.1, abs=1e-3)
    # a bond of 0.957 A whose ends scatter by 0.05 A in each direction: sqrt of the mean square, less the radial variance
    assert found["observables"]["bond_length_O-H_A"]["mean"] == pytest.approx(0.957 + 0.05**2 * 2 / 0.957, abs=2e-3)
    assert found["weights"]["published"] == found["weights"]["used"] == 3
    assert found["weights"]["generation"] == 2
    assert found["weights"]["force_rmse_eV_per_A"] == pytest.approx(0.1)
    assert found["engine"]["calls"] == 40 + 2 * 470 * 4
    assert found["engine"]["calls_per_ess"] == pytest.approx(found["engine"]["calls"] / energy["ess"])
    assert found["engine"]["name"] == "harmonic"
    assert found["engine"]["fingerprint"] == "harmonic-0123"
    assert found["balance"]["simulator"] == {"engine_s": 60.0, "surrogate_s": 30.0, "other_s": 1.5}
    assert sum(found["balance"]["trainer"].values()) == 65.0
    assert found["audit"] == {"verdict": "exact", "reasons": []}


def test_the_last_full_block_is_quoted_and_all_are_printed(make_run):
    found = report_of(make_run(blocks=(100, 300, 50), complete=False))
    assert [(b["block"], b["steps"], b["complete"]) for b in found["sampling"]["blocks"]] == [
        (1, 100, True),
        (2, 300, True),
        (3, 50, False),
    ]
    assert found["sampling"]["block"] == 2
    assert found["sampling"]["steps"]["production"] == 300


@pytest.mark.parametrize("choices", [{"blocks": ()}, {"trainer": False}, {"adapt": 0, "blocks": (), "trainer": False}])
def test_unfinished_runs_have_the_same_keys(make_run, sound_run, choices):
    found, whole = report_of(make_run(**choices)), report_of(sound_run)
    assert keys(found, 1).keys() == keys(whole, 1).keys()
    assert found["sampling"].keys() == whole["sampling"].keys()
    assert found["weights"].keys() == whole["weights"].keys()
    assert found["engine"].keys() == whole["engine"].keys()


def test_nothing_has_started(tmp_path):
    found = report_of(tmp_path)
    assert found["audit"]["verdict"] == "do not quote"
    assert found["phase"] == "startup"


def test_a_ladder_quotes_its_lowest_rung_and_tells_of_all(make_run):
    """Energies rise by 0.02 eV a kelvin in these rows: a mean over rungs would be off by many errors."""
    found = report_of(make_run(walkers=3, ladder_K=(300.0, 330.0, 365.0)))
    energy = found["observables"]["energy_virial_eV"]
    assert abs(energy["mean"] + 100.0) < 5 * energy["stderr"] < 0.1
    rungs = found["sampling"]["ladder"]["rungs"]
    assert [rung["temperature_K"] for rung in rungs] == [300.0, 330.0, 365.0]
    assert [rung["energy_virial_eV"]["mean"] for rung in rungs] == pytest.approx([-100.0, -99.4, -98.7], abs=0.05)
    assert [rung["exchange_above"] for rung in rungs[:2]] == pytest.approx([0.5, 0.5], abs=0.15)
    assert rungs[2]["exchange_above"] is None
    assert found["sampling"]["ladder"]["round_trips"] > 10
    assert found["sampling"]["blocks"][0]["energy_virial_eV"] == {key: energy[key] for key in ("mean", "stderr")}
    assert report_of(make_run())["sampling"]["ladder"] is None
