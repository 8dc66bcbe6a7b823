"""Each rule of the verdict, on runs with exactly one thing wrong."""

import pytest

from kernels.statistics import Estimate
from renkei import run_view
from renkei.analysis import verdict
from renkei.analysis.ledger import production_blocks, steps_of


def judged(root):
    [simulator] = run_view.read(root).simulators
    return verdict.judge(production_blocks(simulator.ledger), simulator.rows)


def test_nothing_is_wrong(sound_run):
    found = judged(sound_run)
    assert (found.verdict, found.reasons) == ("exact", ())
    assert {check.outcome for check in found.checks} == {"holds", "told"}
    said = {check.name: check.said for check in found.checks}
    assert said["block"] == "block 1 is complete: 400 steps of 2 walkers"
    assert "generation 2 drove all of it" in said["frozen"]
    assert said["adapt"] == "frozen at step 71: converged"
    assert said["start"] == "no series drifts away from its start; the chain had settled for 70 steps before"


@pytest.mark.parametrize(
    ("choices", "want", "said"),
    [
        ({"work_shift": 0.4}, "do not quote", "<exp(-beta dH)>"),
        ({"stuck": (150, 240)}, "do not quote", "rejections in a row"),
        ({"difference_eV": 0.05}, "do not quote", "primitive and virial"),
        ({"engine_failures": (100, 200)}, "do not quote", "engine failed"),
        ({"complete": False}, "do not quote", "no production block is complete"),
        ({"blocks": ()}, "do not quote", "production has not begun"),
        ({"converged": False}, "approximate", "max_steps"),
        ({"blocks": (300, 300), "block_shift_eV": 0.2}, "approximate", "block 1 disagrees with block 2"),
        ({"blocks": (40,)}, "approximate", "effective samples"),
        ({"far_start_eV": 0.6, "blocks": (900,)}, "approximate", "steps of the block remember its start (energy_virial_eV"),
        ({"thawed": True}, "do not quote", "the generation changed within the production block (0, 1)"),
        ({"weight_spread": 0.3}, "exact after reweighting", "n_eff 7"),
        ({"approximation": "3 contracted beads of 4"}, "approximate", "3 contracted beads of 4 stood for the target"),
    ],
)
def test_one_thing_is_wrong(make_run, choices, want, said):
    found = judged(make_run(**choices))
    assert found.verdict == want
    assert len(found.reasons) == 1
    assert said in found.reasons[0]


LADDER = {"walkers": 3, "ladder_K": (300.0, 330.0, 365.0)}


def test_every_rung_of_a_ladder_is_judged_by_itself(make_run):
    found = judged(make_run(**LADDER))
    assert (found.verdict, found.reasons) == ("exact", ())
    said = {check.name: check.said for check in found.checks}
    assert said["exp(-beta dH)"].startswith("at every rung; 300 K")
    assert said["ladder"].startswith("exchanges accepted: 300-330 K 0.")
    assert said["ladder"].endswith("round trips; the averages are those of 300 K")
    bad = judged(make_run(**LADDER, hot_work_shift=0.4))
    assert bad.verdict == "do not quote"
    assert bad.reasons[0].startswith("at 365 K: <exp(-beta dH)>")


def test_weights_that_cannot_carry_a_mean(make_run):
    """Nearly all of the weight on a few samples, which the energy's effective samples feel too; equal weights need nothing."""
    few = judged(make_run(weight_spread=6.0))
    assert few.verdict == "do not quote"
    assert "n_eff of the weights is" in few.reasons[0]
    equal = judged(make_run(weight_spread=0.0))
    assert equal.verdict == "exact"
    assert any(check.said.startswith("all weights are equal") for check in equal.checks)


def test_dynamics_without_a_test_is_approximate(sound_run):
    [simulator] = run_view.read(sound_run).simulators
    rows = [{**row, "accepted": True, "log_ratio": None} if row["event"] == "step" else row for row in simulator.rows]
    found = verdict.judge(production_blocks(steps_of(rows)), rows)
    assert found.verdict == "approximate"
    assert len(found.reasons) == 1
    assert "finite time step" in found.reasons[0]


def test_a_short_antithetic_block_is_not_exact(make_run, monkeypatch):
    claims = {"energy_virial_eV": Estimate(mean=-100.0, stderr=0.01, tau=1 / 12, ess=72.0, samples=12)}
    monkeypatch.setattr("renkei.analysis.thermo.averages", lambda rows: claims)
    assert judged(make_run(blocks=(6,))).reasons == (
        "only 12 effective samples of the energy: the error bars themselves are uncertain",
    )


def test_a_running_block_that_sticks_is_told_early(make_run):
    found = judged(make_run(complete=False, stuck=(150, 240)))
    assert [("no production block" in r, "in a row" in r) for r in found.reasons] == [(True, False), (False, True)]


def test_the_last_full_block_is_judged(make_run):
    """A running block behind a full one is not quoted, so it is not judged."""
    assert judged(make_run(blocks=(400, 100), complete=False, stuck=(480, 570))).verdict == "exact"


def test_convergence_is_that_of_all_criteria():
    assert verdict.converged({"reason": "FREEZE was asked for", "criteria": {"met": {"a": True, "b": True}}})
    assert not verdict.converged({"reason": "converged", "criteria": {"met": {"a": True, "b": False}}})
    assert verdict.converged({"reason": "converged"})
    assert not verdict.converged({"reason": "max_steps"})


def test_a_run_that_never_saw_a_network_says_so(make_run):
    [simulator] = run_view.read(make_run(converged=False)).simulators
    unmet = {"reason": "adapt reached max_steps without convergence", "criteria": {"met": {"generations": False}}}
    rows = [{**row, **unmet} if row["event"] == "freeze" else row for row in simulator.rows]
    alone = [{**row, "generation": -1} if row["event"] == "step" else row for row in rows]
    told = [verdict.judge(production_blocks(steps_of(some)), some).reasons for some in (rows, alone)]
    assert "no network had come" not in told[0][0]
    assert "no network had come" in told[1][0]


def test_explored_rows_are_not_production(sound_run):
    [simulator] = run_view.read(sound_run).simulators
    rows = [{**row, "move": "explore"} if row.get("step") == 80 else row for row in simulator.rows]
    found = verdict.judge(production_blocks(steps_of(rows)), rows)
    assert (found.verdict, found.reasons) == ("do not quote", ("2 production rows were not decided by first principles",))


def test_the_worst_of_all_checks_is_the_verdict(sound_run):
    [simulator] = run_view.read(sound_run).simulators
    blocks = production_blocks(simulator.ledger)
    more = [verdict.Check("a", verdict.Outcome.WEAK, "weak"), verdict.Check("b", verdict.Outcome.FAILS, "bad")]
    assert verdict.judge(blocks, simulator.rows, more[:1]).verdict == "approximate"
    found = verdict.judge(blocks, simulator.rows, more)
    assert (found.verdict, found.reasons) == ("do not quote", ("bad", "weak"))
    assert verdict.judge(blocks, simulator.rows, [verdict.Check("c", verdict.Outcome.SKIPPED, "no")]).verdict == "exact"
