"""Rank 0 of the simulator: claims the run folder, builds the parts, begins the chain, runs the daemon."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels import native
from protocol import names, settings, walltime
from protocol.activity import ActivityClock
from protocol.channels import base as channels
from protocol.epoch import Epoch
from protocol.log import open_log
from protocol.settings import Config
from protocol.shutdown import Shutdown
from protocol.store import Store
from sim_daemon import company
from sim_daemon.assemble import load_config, make_adapter, make_ring
from sim_daemon.begin import begin
from sim_daemon.daemon import Daemon
from sim_daemon.models import Models
from sim_daemon.rank import Rank
from sim_daemon.samplers import base as samplers
from sim_daemon.schedule import replayed
from sim_daemon.system import System, read_system
from sim_daemon.target import Target
from sim_daemon.trainer_job import TrainerJob
from sim_daemon.world import World

ACTIVITIES = ("engine", "surrogate", "io", "waiting", "imbalance", "surrogate_imbalance")
PATIENCE_S = 0.5  # between two looks at the control folder while a step runs


@dataclass(frozen=True)
class Orders:
    """What the command line says."""

    run: Path
    name: str = ""  # "" : the first simulator of run.yaml
    steps: int | None = None
    limit_s: float | None = None
    replay: Path | None = None
    takeover: bool = False


def lead(world: World, orders: Orders) -> int:
    """Run one simulator to its end; returns the exit code. Raises RenkeiError with one sentence."""
    clock = ActivityClock(ACTIVITIES)
    name = orders.name or first_simulator(orders.run)
    config = load_config(orders.run, name)
    system = read_system(config)
    store = Store(orders.run)
    role = names.simulator_role(name)
    settings.refuse_changes(store.understood(role), config, role)
    elements = company.join(orders.run, store, name, config, system)
    epoch = store.claim(role, takeover=orders.takeover)
    state, models = "gone", None
    try:
        log = open_log(epoch.folder / "sim.log", "sim_daemon")
        deadline, source = walltime.deadline_s(orders.limit_s)
        shutdown = Shutdown(deadline, epoch.fresh_controls)
        if deadline is not None:
            log.info("this start ends within %.0f s (%s)", deadline, source)
        epoch.write_text(names.RESOLVED, settings.resolved(config))
        rank = _start_ranks(world, config, system, epoch, clock, orders.run, name)
        company.check_engine(store, name, rank.fingerprint)
        _sign_in(store, epoch, world, rank, log, name, system, elements)
        stride = config.machine.simulator.ranks_per_engine
        cheap = None
        if config.science.cheap_engine is not None:
            cheap = Target(system, lambda structures: world.share("label_cheap", structures, stride=stride))
        target = Target(system, lambda structures: world.share("label", structures, stride=stride), cheap)
        daemon = _build(world, config, target, store, epoch, clock, shutdown, log, rank, name)
        models = daemon.models
        if orders.replay:
            other = Store(orders.replay)
            daemon.phases.recorded.append(replayed(other.ledger(epoch.role), str(orders.replay)))
            daemon.models.sources.append(lambda digest: other.find("train", digest))
        daemon.batch_facts = {"elements": elements}
        begin(daemon, target, world)
        if orders.steps is not None and daemon.chain is not None:
            daemon.step_limit = daemon.chain.step + orders.steps
        world.abandon = _patient(lambda: shutdown.reason() is not None)
        daemon.run()
        state = "finishing"
        return shutdown.exit_code
    finally:
        epoch.close(state)
        if models is not None:
            models.close()  # after the last heartbeat, which a channel may have to carry


def first_simulator(run: Path) -> str:
    """Name of the first simulator of run.yaml."""
    return next(iter(settings.load(run, {}).science.simulators))


def _start_ranks(world: World, config: Config, system: System, epoch: Epoch, clock: ActivityClock, run: Path, name: str) -> Rank:
    scratch = epoch.folder / "fp"
    rank = Rank(config, system, scratch, 0, clock.doing)
    world.handlers = {"set_up": lambda *_: None, **rank.handlers}
    world.waiting = waits_booked(clock)
    with clock.doing("engine"):
        world.tell("set_up", run, name, scratch)
        world.tell("start_engine", native.backend())
    return rank


def waits_booked(clock: ActivityClock) -> Callable[[str], AbstractContextManager[None]]:
    """By handler, what books rank 0's wait for other ranks: for their labels apart from that for their part of the surrogate.

    A step has as many waits for the surrogate as it has time steps, so they are part of what a longer trajectory costs.
    """
    return lambda handler: clock.doing("surrogate_imbalance" if handler == "evaluate" else "imbalance")


def _sign_in(
    store: Store, epoch: Epoch, world: World, rank: Rank, log: logging.Logger, name: str, system: System, elements: list[int]
) -> None:
    """The ledger's first row: what the bits of this epoch depend on beside run.yaml and the schedule, and what of it is new.

    elements: atomic numbers that the run learns.
    """
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "kernels": native.backend(),
        "engine": rank.fingerprint,
        **({"cheap_engine": rank.cheap_fingerprint} if rank.cheap_fingerprint else {}),
    }
    row = {"event": "start", "epoch": epoch.number, "ranks": world.size, "host": platform.node(), "pid": os.getpid()}
    row |= {"job": walltime.job(), "system": {"elements": elements, "charge": system.charge, "multiplicity": system.multiplicity}}
    before = (store.started(epoch.role) or {}).get("versions", versions)
    changed = sorted(key for key in versions if before.get(key) != versions[key])
    epoch.journal.append({**row, "versions": versions, "changed": changed, "unix": time.time()}, durable=True)
    log.info("simulator %s, epoch %d, %d rank(s), kernels: %s", name, epoch.number, world.size, versions["kernels"])
    if changed:
        log.warning("another %s than the last start had: exact as before, but not the same bits", " and ".join(changed))
    if versions["kernels"] == "numba":
        log.warning("the compiled kernels are missing (no C++ compiler at installation?): the slower loops in Numba serve")


def _build(
    world: World,
    config: Config,
    target: Target,
    store: Store,
    epoch: Epoch,
    clock: ActivityClock,
    shutdown: Shutdown,
    log: logging.Logger,
    rank: Rank,
    name: str,
) -> Daemon:
    science, machine, system = config.science, config.machine, target.system
    channel = channels.load(machine.channel.name).build(machine.channel, store, epoch.role, epoch)
    models = Models(world, channel, system, rank.fingerprint, log)
    models.sources.append(lambda digest: store.find("train", digest))
    models.refuse = lambda packet, reason: epoch.quarantine(reason.encode(), f"weights-{packet.number:06d}.txt", reason)
    sampler = samplers.load(science.sampler.name).build(science.sampler, make_ring(science.sampler, system), target)
    adapter, here = make_adapter(science.sampler, system), not channels.has_two_folders(machine.channel.name)
    adapter.labels_wanted = science.phases.adapt.labels
    return Daemon(name, science, system, sampler, adapter, models, epoch, clock, shutdown, log, TrainerJob(store, log, here))


def _patient(ask: Callable[[], bool]) -> Callable[[], bool]:
    """Ask at most every PATIENCE_S: the question looks into a folder."""
    last = [0.0]

    def answer() -> bool:
        now = time.monotonic()
        if now - last[0] < PATIENCE_S:
            return False
        last[0] = now
        return ask()

    return answer
