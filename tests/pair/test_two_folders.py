"""Both daemons as real processes that share no folder."""

import os
import secrets
import signal
import socket
import sys
from pathlib import Path

import pytest
import yaml

from protocol import names
from protocol.store import Store

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
SMALL = (
    "sampler.beads=2",
    "learner.hidden=[4]",
    "coupling.labels_per_retrain=20",
    "coupling.epochs_per_retrain=5",
    "coupling.max_wait_s=1",
    "phases.adapt.max_steps=10000000",
    "phases.adapt.labels=1000000",  # until FREEZE, however fast the machine
    "phases.production.steps=15",
    "phases.production.max_blocks=1",
)


@pytest.fixture
def two(make_pair):
    """two(sim=channel keys, train=channel keys) -> a Pair in each of two folders, of the same small run."""

    def make(**channels):
        found = []
        for side, keys in channels.items():
            pair = make_pair(side, *SMALL, source=ROOT / "configs/toy.yaml")
            path = pair.run / "machine.yaml"
            path.write_text(path.read_text() + yaml.safe_dump({"channel": keys}))
            found.append(pair)
        return found

    return make


def same(sim, train, role):
    """The published files of a role in both folders, which must be the same bytes; how many."""
    trees = []
    for pair in (sim, train):
        home = pair.run / role
        triggers = [*home.glob("epoch-*/triggers/*.trigger")]
        # a payload without its trigger is no publication
        payloads = [trigger.parents[1] / names.payload(*names.parse_trigger(trigger.name)) for trigger in triggers]
        files = [*triggers, *home.glob("epoch-*/epoch.json")]
        files += [file for path in payloads for file in (path.glob("[!.]*") if path.is_dir() else [path])]
        trees.append({str(path.relative_to(home)): path.read_bytes() for path in files})
    assert trees[0].keys() == trees[1].keys()
    assert trees[0] == trees[1]
    return len(trees[0])


def last_model(pair):
    """Number of the newest model of a folder; -1 while there is none: a trainer may die before it has saved its first."""
    return max((packet.number for packet in Store(pair.run).packets("train")), default=-1)


def test_a_pair_over_tcp_with_either_killed_reaches_its_end(two, tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(secrets.token_hex(32))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    common = {"name": "tcp", "secret": str(secret), "poll_s": 0.1}
    sim, train = two(sim={**common, "connect": address}, train={**common, "listen": address})
    simulator, trainer = sim.simulator(), train.trainer()
    sim.wait_for(lambda: len(sim.used()) >= 1)
    train.kill(trainer)
    steps = len(sim.rows())
    sim.wait_for(lambda: len(sim.rows()) > steps + 5)  # it does not wait
    trainer = train.trainer()
    newest = last_model(train)
    sim.wait_for(lambda: last_model(sim) > newest)
    sim.kill(simulator)
    simulator = sim.simulator()
    sim.wait_for(lambda: len(Store(train.run).epochs("sim/sim0")) == 2)
    sim.control("FREEZE")
    sim.wait_for(lambda: simulator.poll() is not None)
    train.wait_for(lambda: trainer.poll() is not None, 150)  # by itself: the last heartbeat has crossed
    assert (simulator.returncode, trainer.returncode) == (0, 0), simulator.output.read_text() + trainer.output.read_text()
    assert same(sim, train, "sim/sim0") > 6
    assert same(sim, train, "train") > 6
    assert Store(train.run).ledger("sim/sim0") == Store(sim.run).ledger("sim/sim0")
    assert [row["step"] for row in sim.rows()] == list(range(1, len(sim.rows()) + 1))
    for pair, copy in ((sim, "train"), (train, "sim/sim0")):
        refused = os.listdir(Store(pair.run).epochs("sim/sim0" if pair is sim else "train")[-1].folder / "quarantine")
        assert [name for name in refused if not name.startswith("step-")] == []  # the engine's guards may refuse a proposal
        assert (pair.run / copy / "replica.json").is_file()


def test_a_pair_in_one_mpi_launch_ends_together_and_a_kill_ends_both(two):
    sim, train = two(sim={"name": "mpi", "poll_s": 0.1}, train={"name": "mpi", "poll_s": 0.1})
    words = [
        *(str(BIN / "mpiexec"), "-n", "2", sys.executable, "-m", "sim_daemon", str(sim.run)),
        *(":", "-n", "1", sys.executable, "-m", "train_daemon", str(train.run)),
    ]
    first = sim.start(*words)
    sim.wait_for(lambda: len(sim.used()) >= 1)
    beat = Store(train.run).heartbeat("train")
    os.kill(beat["pid"], signal.SIGKILL)
    sim.wait_for(lambda: first.poll() is not None, 30)
    assert first.returncode != 0
    second = sim.start(*words)
    sim.wait_for(lambda: len(Store(train.run).epochs("sim/sim0")) == 2)
    sim.control("FREEZE")
    sim.wait_for(lambda: second.poll() is not None)
    assert second.returncode == 0, second.output.read_text()
    assert same(sim, train, "sim/sim0") > 4
    assert same(sim, train, "train") > 4
