"""Accounts of several simulators, and who made which samples."""

from renkei import audit, run_view


def test_samples_by_phase(make_run):
    view = run_view.read(make_run(engine_failures=(100,), blocks=(200,)))
    adapt, production = audit.account(view, view.simulators[0])["samples"]
    assert [adapt["rows"], production["rows"]] == [140, 400]
    assert {g: part["rows"] for g, part in adapt["generations"].items()} == {-1: 20, 0: 40, 1: 40, 2: 40}
    assert production["outcomes"]["rejected: engine_failure"] == 2
    assert sum(production["outcomes"].values()) == 400
    assert production["generations"][2]["accepted"] == production["outcomes"]["accepted"]


def test_the_worst_of_several():
    accounts = {"cold": {"verdict": "exact", "reasons": []}, "hot": {"verdict": "approximate", "reasons": ["short"]}}
    assert audit.worst(accounts) == {"verdict": "approximate", "reasons": ["hot: short"]}
    accounts["cold"]["verdict"] = "exact after reweighting"
    assert audit.worst({"cold": accounts["cold"]})["verdict"] == "exact after reweighting"
    assert audit.worst({})["verdict"] == "do not quote"
