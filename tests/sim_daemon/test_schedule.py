import pytest

from protocol.errors import BadSetting
from protocol.records import Phase
from sim_daemon.samplers.base import Plan
from sim_daemon.schedule import Recorded, entry, plan_of, replayed

FIRST = Plan(Phase.ADAPT, 0, -1, "", 0.5, 5.0)
SECOND = Plan(Phase.ADAPT, 0, 0, "aa", 0.5, 10.0)
FROZEN = Plan(Phase.PRODUCTION, 1, 0, "aa", 0.6, 40.0)
ROWS = [entry(1, FIRST), *({"event": "step", "step": s, "walker": 0} for s in range(1, 12)), entry(4, SECOND), entry(9, FROZEN)]


@pytest.mark.parametrize(
    ("step", "wanted"), [(1, FIRST), (3, FIRST), (4, SECOND), (8, SECOND), (9, FROZEN), (11, FROZEN), (12, None)]
)
def test_a_recorded_step_gets_its_plan_again(step, wanted):
    assert Recorded(ROWS).plan(step) == wanted


def test_a_plan_without_a_step_is_not_imposed():
    assert Recorded([entry(1, FIRST)]).plan(1) is None


def test_a_tail_covers_its_own_steps_only():
    tail = Recorded([entry(9, FROZEN), {"event": "step", "step": 9, "walker": 0}])
    assert tail.plan(8) is None
    assert tail.plan(9) == FROZEN


def test_a_tail_that_names_no_plan_goes_on_with_the_one_before_it():
    steps = [{"event": "step", "step": step, "walker": 0} for step in (6, 7, 8)]
    tail = Recorded([*steps, entry(8, FROZEN)], entry(6, SECOND))
    assert [tail.plan(step) for step in (5, 6, 7, 8, 9)] == [None, SECOND, SECOND, FROZEN, None]
    assert Recorded([*steps, entry(6, FROZEN)], entry(6, SECOND)).plan(6) == FROZEN


def test_a_run_without_steps_cannot_be_replayed():
    with pytest.raises(BadSetting, match="no step"):
        replayed([{"event": "start"}], "runs/empty")


def test_a_row_without_a_cells_step_is_one_of_constant_volume():
    row = entry(1, Plan(Phase.ADAPT, 0, 2, "d", 0.5, 40.0, cell_step=0.03))
    assert plan_of(row).cell_step == 0.03
    del row["cell_step"]
    assert plan_of(row).cell_step == 0.0
