import subprocess
import sys
from pathlib import Path

import pytest

from protocol.errors import EngineFailed
from sim_daemon.world import Abandoned, World

ROOT = Path(__file__).parents[2]
MPIRUN = str(Path(sys.executable).parent / "mpirun")
SCRIPT = """
import sys
from protocol.errors import EngineFailed
from sim_daemon.world import connect
world = connect()
def square(items, power):
    if 99 in items:
        raise EngineFailed("cannot label 99")
    if 98 in items:
        raise ZeroDivisionError("a defect")
    return [(x ** power, world.rank) for x in items]
world.handlers = {"square": square, "note": lambda text: None}
if world.rank:
    world.serve()
else:
    try:
        for items in eval(sys.argv[1]):
            world.tell("note", "hello")
            try:
                print(world.share("square", items, 2, stride=int(sys.argv[2])))
            except EngineFailed as problem:
                print(problem.what)
    finally:
        world.stop()
"""


def mpi(ranks, items, stride=1, script=SCRIPT):
    words = [MPIRUN, "-n", str(ranks), sys.executable, "-c", script, repr(items), str(stride)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_shares_come_back_in_order(ranks):
    done = mpi(ranks, [[1, 2, 3, 4, 5], [], [7]])
    assert done.returncode == 0, done.stderr
    lines = [eval(line) for line in done.stdout.splitlines()]
    assert [[x for x, _ in line] for line in lines] == [[1, 4, 9, 16, 25], [], [49]]
    assert {rank for _, rank in lines[0]} == set(range(ranks))


def test_only_leaders_of_engine_groups_label():
    done = mpi(3, [[1, 2, 3, 4]], stride=2)
    assert {rank for _, rank in eval(done.stdout)} == {0, 2}


def test_an_error_of_a_rank_is_raised_on_rank_0_and_the_next_call_is_clean():
    done = mpi(2, [[1, 99], [99, 1], [1, 2]])
    assert done.stdout.splitlines() == ["cannot label 99", "cannot label 99", "[(1, 0), (4, 1)]"]


def test_a_defect_on_one_rank_ends_the_whole_job_with_its_traceback():
    done = mpi(3, [[1, 2, 98]])
    assert done.returncode != 0
    assert "ZeroDivisionError" in done.stderr
    assert "rank 2 of 3" in done.stderr


def test_a_world_smaller_than_the_launchers_is_refused():
    script = SCRIPT.replace("world = connect()", "import os; os.environ['PMIX_SIZE'] = '4'\nworld = connect()")
    done = mpi(2, [[1]], script=script)
    assert "4 processes" in done.stderr
    assert done.returncode != 0


def test_alone_without_a_launcher_and_abandoned_between_calls():
    world = World()
    world.handlers = {"twice": lambda items: [2 * x for x in items]}
    assert world.share("twice", [1, 2]) == [2, 4]
    world.abandon = lambda: True
    with pytest.raises(Abandoned):
        world.share("twice", [1])


def test_an_error_of_rank_0_itself():
    world = World()

    def fails(items):
        raise EngineFailed("no")

    world.handlers = {"label": fails}
    with pytest.raises(EngineFailed):
        world.share("label", [1])
