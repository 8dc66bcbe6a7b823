"""`renkei audit`: each verdict with its exit code, the account, one verdict with the report."""

import json

import pytest


@pytest.mark.parametrize(
    ("choices", "verdict", "code"),
    [
        ({}, "exact", 0),
        ({"weight_spread": 0.3}, "exact after reweighting", 10),
        ({"converged": False}, "approximate", 11),
        ({"stuck": (150, 240)}, "do not quote", 12),
        ({"blocks": ()}, "do not quote", 12),
    ],
)
def test_verdicts_and_exit_codes(renkei, make_run, choices, verdict, code):
    root = make_run(**choices)
    found, out, _ = renkei("audit", root, "--json")
    told = json.loads(out)
    assert (found, told["verdict"]) == (code, verdict)
    assert renkei("report", root)[1].splitlines()[0] == f"verdict: {verdict}"
    report = json.loads((root / "report" / "report.json").read_text())
    assert report["audit"] == {"verdict": verdict, "reasons": told["reasons"]}
    assert report["simulators"]["sim0"]["audit"] == told["simulators"]["sim0"]


def test_the_account_in_words(renkei, sound_run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = renkei("audit", sound_run)
    assert code == 0
    assert out.startswith("verdict: exact\n")
    assert "adapt: 140 rows, 0 explored by the surrogate" in " ".join(out.split())
    assert "generation 2 800;" in out
    for check in ("block", "frozen", "exp(-beta dH)", "rejections", "engine", "flip", "beta dH", "acceptance"):
        assert f" {check} " in out
    assert "erfc(sqrt(<beta dH>)/2)" in out


def test_unknown(renkei, sound_run, tmp_path):
    assert renkei("audit", tmp_path)[0] == 2
    code, _, err = renkei("audit", sound_run, "--simulator", "hot")
    assert code == 2
    assert "no simulator 'hot'" in err
