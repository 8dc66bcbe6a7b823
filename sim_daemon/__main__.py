"""python -m sim_daemon RUN: the simulator, alone or under mpirun."""

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before numpy: one thread a rank; more make small cells slower, and change bits

import argparse
import sys
from pathlib import Path

from protocol import mpi, names, ownership
from protocol.channels import base as channels
from protocol.duration import duration_s
from protocol.errors import Exit, RenkeiError
from sim_daemon.lead import Orders, lead
from sim_daemon.rank import follow
from sim_daemon.world import World, connect


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m sim_daemon", description="Sample one run folder; run it again to resume.")
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder with run.yaml and machine.yaml")
    parser.add_argument("--name", default="", help="simulator of run.yaml's `simulators` (default: the first)")
    parser.add_argument("--steps", type=int, help="stop after so many more steps")
    parser.add_argument("--for", dest="duration", help="stop after this time, e.g. 10min")
    parser.add_argument("--replay", type=Path, metavar="OTHER_RUN", help="impose the recorded schedule of another run")
    parser.add_argument("--takeover", action="store_true", help="start although another simulator of this name seems alive")
    return parser.parse_args()


def main() -> int:
    """Returns the exit code; rank 0's is the job's. A defect skips the orderly end: protocol/mpi.py's hook ends the launch."""
    given = arguments()
    world = World()
    code = 0
    try:
        # a thread of such a channel calls MPI
        world = connect(f"{names.SIM}/{given.name}@{given.run}", threads=channels.told_to_use_mpi(given.run) or False)
        if world.rank:
            follow(world)
        else:
            ownership.check()
            limit = duration_s(given.duration) if given.duration else None
            code = lead(world, Orders(given.run, given.name, given.steps, limit, given.replay, given.takeover))
    except RenkeiError as problem:
        print(f"sim_daemon: {problem}", file=sys.stderr)
        code = problem.exit_code
    if code not in (Exit.DONE, Exit.INTERRUPTED):
        mpi.fail(code)
    world.leave()
    return code


if __name__ == "__main__":
    sys.exit(main())
