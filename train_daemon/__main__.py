"""python -m train_daemon RUN: the trainer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from protocol import names, ownership, settings
from protocol.activity import ActivityClock
from protocol.channels import base as channels
from protocol.duration import duration_s
from protocol.epoch import Epoch
from protocol.errors import BadSetting, Exit, RenkeiError
from protocol.log import close_log, open_log
from protocol.settings import Config
from protocol.shutdown import Shutdown
from protocol.store import Store
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


def temperatures(config: Config) -> Callable[[str], float]:
    """Temperature (K) of a simulator by name, from `sampler.ensemble.temperature_K`; a simulator may have its own."""

    def of(sampler: Mapping[str, Any]) -> float | None:
        value = (sampler.get("ensemble") or {}).get("temperature_K")
        return float(value) if isinstance(value, int | float) and value > 0 else None

    own = {name: of(changes.get("sampler") or {}) for name, changes in config.science.simulators.items()}
    common = of(config.science.sampler)

    def temperature(simulator: str) -> float:
        found = own.get(simulator) or common
        if found is None:
            raise BadSetting("sampler.ensemble.temperature_K: must be a number > 0", str(config.source))
        return found

    for name in own:
        temperature(name)
    return temperature


def assemble(config: Config, learner: Learner, store: Store, epoch: Epoch, shutdown: Shutdown) -> Parts:
    """All parts of one start of the trainer."""
    science, machine = config.science, config.machine
    log = open_log(epoch.folder / "train.log", "renkei.train")
    channel = channels.load(machine.channel.name).build(machine.channel, store, names.TRAIN, epoch)
    coupling = science.coupling
    dataset = Dataset(coupling.beads_per_ring)
    rules = Rules(coupling.labels_per_retrain, coupling.max_wait_s, coupling.epochs_per_retrain, coupling.keep_training_when_idle)
    return Parts(
        store=store,
        epoch=epoch,
        intake=Intake(dataset, epoch, channel, log),
        learner=learner,
        press=Press(learner, dataset, epoch, temperatures(config)),
        rules=rules,
        shutdown=shutdown,
        clock=ActivityClock(ACTIVITIES),
        log=log,
        poll_s=machine.channel.poll_s,
    )


def work(config: Config, learner: Learner, epoch: Epoch, store: Store, shutdown: Shutdown) -> int:
    """Train until asked to stop; returns the exit code."""
    parts = assemble(config, learner, store, epoch, shutdown)
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
        parts.intake.channel.close()
        close_log(parts.log)


def lead(given: argparse.Namespace, config: Config, learner: Learner) -> int:
    """Start an epoch of the trainer's and work in it; returns the exit code."""
    store = Store(given.run)
    settings.refuse_changes(store.understood(names.TRAIN), config, names.TRAIN)
    epoch = store.claim(names.TRAIN, given.takeover)
    try:
        epoch.write_text(names.RESOLVED, settings.resolved(config))
        shutdown = Shutdown(duration_s(given.duration) if given.duration else None, epoch.fresh_controls)
        return work(config, learner, epoch, store, shutdown)
    finally:
        epoch.close()


def main() -> int:
    """Returns the exit code."""
    given = arguments()
    try:
        ownership.check()
        config = settings.load(given.run, {"learner": learners.load, "channel": channels.load})
        temperatures(config)
        return with_learner(config.science, config.machine.trainer, partial(lead, given, config))
    except RenkeiError as problem:
        print(f"train_daemon: {problem}", file=sys.stderr)
        return problem.exit_code


if __name__ == "__main__":
    sys.exit(main())
