"""Simulators without a start of Python each: `rehearse.py killed RUN...` and `mpirun -n 2 rehearse.py replayed RUN...`.

killed: every run in forked processes that kill -9 themselves in the middle of adapt and of production, then to its end; a second
generation of weights arrives after the first kill.  replayed: the schedule of RUN into RUN-again, all runs under one mpirun.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from kernels.descriptors.base import Chebyshev
from kernels.potentials import bpnn
from protocol import names
from protocol.records import Canary, Card
from protocol.store import Store
from sim_daemon.assemble import load_config
from sim_daemon.daemon import Daemon
from sim_daemon.engines import base as engines
from sim_daemon.engines.base import EngineContext
from sim_daemon.lead import Orders, lead
from sim_daemon.rank import follow
from sim_daemon.system import read_system
from sim_daemon.world import World, connect

KILLS = (9, 36)  # after the rows of this step, before its segment is closed: one in adapt, one in production


def publish(run, generation):
    """A small network with random weights, as a trainer would publish it; a wrong surrogate on purpose."""
    config = load_config(run, "sim0")
    base = read_system(config).structure
    engine = engines.load(config.science.engine.name).build(config.science.engine, EngineContext(0, 1, run / "unused", 1))
    species = tuple(sorted({int(z) for z in base.numbers}))
    descriptor = Chebyshev(species, "species_resolved", 3, 4.0, 1, 3.5, (1,))
    rng, size = np.random.default_rng(generation), descriptor.length
    layers = tuple(
        ((0.3 * rng.normal(size=(3, size)), rng.normal(size=3)), (0.02 * rng.normal(size=(1, 3)), np.zeros(1))) for _ in species
    )
    ones = np.ones((len(species), size))

    def write(folder):
        bpnn.write(folder, bpnn.BpnnModel(descriptor, layers, "tanh", 0 * ones, ones, np.zeros(len(species))))
        value = bpnn.build(folder, generation).evaluate(base.positions[None], base.numbers, base.cell, base.pbc)
        canary = Canary(base.positions[None], base.numbers, base.cell, base.pbc, value.energy, value.forces)
        return Card("bpnn", generation, species, 4.0, 0, 1, engine.fingerprint, {}, {}, (), (), {}, canary)

    epoch = Store(run).claim(names.TRAIN)
    epoch.publish_weights(generation, write, {})
    epoch.save_checkpoint({"cursor": {"batch": -1, "generation": generation, "row": epoch.journal.rows_written}})
    epoch.close("gone")


def simulate(run, kill_at):
    """One simulator; kill_at: the step whose rows are the last thing it does, None: it goes on to its end."""
    record = Daemon._record

    def record_and_die(self, step, plan, infos):
        record(self, step, plan, infos)
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    Daemon._record = record_and_die
    return lead(World(), Orders(run))


def apart(work, *arguments):
    """Do something in a process of its own; returns the wait status."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work(*arguments) or 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def killed(run):
    """A run with two kills, to its end."""
    for generation, kill_at in enumerate(KILLS):
        assert apart(publish, run, generation) == 0
        assert os.WTERMSIG(apart(simulate, run, kill_at)) == signal.SIGKILL
    assert apart(simulate, run, None) == 0


def replayed(runs):
    """Undisturbed replays, one after the other in one MPI job."""
    world = connect()
    for k, run in enumerate(runs):
        if world.rank:
            follow(world)
            continue
        world.abandon = lambda: False
        assert lead(world, Orders(run.with_name(f"{run.name}-again"), replay=run)) == 0
        if k + 1 < len(runs):
            world.stop()
    world.leave()


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[2:]]
    if sys.argv[1] == "replayed":
        replayed(folders)
    else:
        for folder in folders:
            killed(folder)
