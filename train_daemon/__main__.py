"""python -m train_daemon RUN: the trainer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from protocol import mpi, names, ownership, settings, walltime
from protocol.activity import ActivityClock
from protocol.channels import base as channels
from protocol.channels.base import Channel
from protocol.duration import duration_s
from protocol.epoch import Epoch
from protocol.errors import BadSetting, Exit, RenkeiError
from protocol.log import close_log, open_log
from protocol.records import PeerState
from protocol.sections import Machine
from protocol.settings import Config
from protocol.shutdown import Shutdown
from protocol.store import Store
from train_daemon.attendance import Attendance
from train_daemon.daemon import ACTIVITIES, Parts, Trainer
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake
from train_daemon.learners import base as learners
from train_daemon.learners.base import Learner
from train_daemon.processes import with_learner
from train_daemon.publication import Press
from train_daemon.schedule import Rules


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m train_daemon", description="Train for one run folder; run it again to resume."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder with run.yaml and machine.yaml")
    parser.add_argument("--for", dest="duration", help="stop after this time, e.g. 10min")
    parser.add_argument("--takeover", action="store_true", help="start although another trainer seems alive")
    return parser.parse_args()


def temperatures(config: Config, store: Store) -> Callable[[str], float]:
    """Temperature (K) of a simulator by name, from `sampler.ensemble.temperature_K`; a simulator may have its own.

    One that run.yaml did not name when the trainer started says it by what it has understood.
    """

    def of(sampler: Mapping[str, Any]) -> float | None:
        value = (sampler.get("ensemble") or {}).get("temperature_K")
        return float(value) if isinstance(value, int | float) and value > 0 else None

    own = {name: of(changes.get("sampler") or {}) for name, changes in config.science.simulators.items()}
    common = of(config.science.sampler)

    @cache
    def joined(simulator: str) -> float | None:
        text = store.understood(names.simulator_role(simulator))
        return of(yaml.safe_load(text)["science"]["sampler"]) if text else None

    def temperature(simulator: str) -> float:
        found = own.get(simulator) or (None if simulator in own else joined(simulator)) or common
        if found is None:
            raise BadSetting("sampler.ensemble.temperature_K: must be a number > 0", str(config.source))
        return found

    for name in own:
        temperature(name)
    return temperature


def assemble(config: Config, learner: Learner, store: Store, epoch: Epoch, shutdown: Shutdown, channel: Channel) -> Parts:
    """All parts of one start of the trainer."""
    science, machine = config.science, config.machine
    log = open_log(epoch.folder / "train.log", "renkei.train")
    coupling = science.coupling
    dataset = Dataset(coupling.beads_per_ring)
    rules = Rules(coupling.labels_per_retrain, coupling.max_wait_s, coupling.epochs_per_retrain, coupling.keep_training_when_idle)
    return Parts(
        store=store,
        epoch=epoch,
        intake=Intake(dataset, epoch, channel, log),
        attendance=Attendance(store, epoch, channel, log),
        learner=learner,
        press=Press(learner, dataset, epoch, temperatures(config, store)),
        rules=rules,
        shutdown=shutdown,
        clock=ActivityClock(ACTIVITIES),
        log=log,
        poll_s=machine.channel.poll_s,
        release_after_s=release_after_s(machine),
    )


def work(config: Config, learner: Learner, epoch: Epoch, store: Store, shutdown: Shutdown, channel: Channel) -> int:
    """Train until asked to stop; returns the exit code."""
    parts = assemble(config, learner, store, epoch, shutdown, channel)
    try:
        reason = Trainer(parts).run()
        parts.log.info("stopped (%s); the same command goes on from here", reason)
        return shutdown.exit_code
    except RenkeiError as problem:
        parts.log.error("%s", problem)
        raise
    except Exception:
        parts.log.exception("a defect ended the trainer")
        return Exit.DEFECT
    finally:
        close_log(parts.log)


def lead(given: argparse.Namespace, config: Config, learner: Learner) -> int:
    """Start an epoch of the trainer's and work in it; returns the exit code."""
    store = Store(given.run)
    settings.refuse_changes(store.understood(names.TRAIN), config, names.TRAIN)
    epoch, channel = store.claim(names.TRAIN, given.takeover), None
    try:
        epoch.write_text(names.RESOLVED, settings.resolved(config))
        deadline, _ = walltime.deadline_s(duration_s(given.duration) if given.duration else None)
        left = Leavers(store)
        shutdown = Shutdown(deadline, epoch.fresh_controls, also=lambda: all_complete(given.run, config, store) or left.reason())
        channel = channels.load(config.machine.channel.name).build(config.machine.channel, store, names.TRAIN, epoch)
        return work(config, learner, epoch, store, shutdown, channel)
    finally:
        epoch.close()
        if channel is not None:
            channel.close()  # after the last heartbeat, which it may have to carry


def all_complete(run: Path, config: Config, store: Store) -> str | None:
    """A reason to end: no simulator has a step left, so nobody would use another model.

    Those count that run.yaml names, or named when the trainer started, and any other that works.
    """

    def left(simulators: Iterable[str]) -> bool:
        return any(not store.complete(names.simulator_role(name)) for name in simulators)

    working = (name for name in store.simulators() if store.works(names.simulator_role(name)))
    if left(config.science.simulators) or left(working):
        return None
    with suppress(BadSetting):  # it may be in somebody's editor just now
        if left(settings.load(run, {}).science.simulators):
            return None
    return "every simulator has completed its production"


def release_after_s(machine: Machine) -> float | None:
    """Time without use after which the trainer gives its node back, s; None: never. Raises BadSetting in one MPI launch."""
    told = machine.trainer.release_after
    if told and channels.uses_mpi(machine.channel.name):
        what = "in one MPI launch a node is given back by the end of all"
        raise BadSetting(what, "machine.yaml: trainer.release_after", "leave it out, or use another channel")
    return duration_s(told) if told else None


def joins_a_launch(run: Path) -> bool:
    """Whether simulators wait for this trainer in one MPI launch; where no configuration tells, whether the launch has others."""
    told = channels.told_to_use_mpi(run)
    return mpi.started() > 1 if told is None else told


class Leavers:
    """Who was here and has ended: in one MPI launch nobody who has left comes back."""

    def __init__(self, store: Store) -> None:
        launch = mpi.joined()
        self._store, self._programs = store, 0 if launch is None else len(launch.programs) - 1
        self._seen: set[str] = set()
        self._before = self._beats()  # of earlier launches: what an aborted one left says alive for ever

    def reason(self) -> str | None:
        """A reason to end: every simulator of the launch has."""
        if not self._programs:
            return None
        beats = {role: beat for role, beat in self._beats().items() if beat != self._before.get(role)}
        here = {role for role, beat in beats.items() if beat and not PeerState(beat["state"]).has_ended}
        self._seen |= here
        return "every simulator of this launch has ended" if len(self._seen) >= self._programs and not here else None

    def _beats(self) -> dict[str, dict[str, Any] | None]:
        return {role: self._store.heartbeat(role) for role in self._store.roles() if role != names.TRAIN}


def main() -> int:
    """Returns the exit code."""
    given = arguments()
    try:
        if joins_a_launch(given.run):
            mpi.join(names.TRAIN, threads=True)  # before anything can fail: the others would wait
        code = _train(given)
    except RenkeiError as problem:
        print(f"train_daemon: {problem}", file=sys.stderr)
        code = problem.exit_code
    if code not in (Exit.DONE, Exit.INTERRUPTED):
        mpi.fail(code)
    return code


def _train(given: argparse.Namespace) -> int:
    """Read the configuration and train; returns the exit code."""
    ownership.check()
    config = settings.load(given.run, {"learner": learners.load, "channel": channels.load})
    temperatures(config, Store(given.run))
    return with_learner(config.science, config.machine.trainer, partial(lead, given, config))


if __name__ == "__main__":
    sys.exit(main())
