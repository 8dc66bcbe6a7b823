"""Latency and throughput of the channels, side by side in one run: python -m benchmarks.channels [--quick] [--folder DIR].

Two processes of this machine, a simulator's and a trainer's side. `files` shares a run folder; `tcp` and `mpi` have one each. A
time goes from the call that publishes to the call that hands the message out on the other side, verified, durable in the store
that the receiver reads. small: batches of 8 labels, one at a time (latency) or all at once; large: models of one file. publish:
the sender's own call, which no transport can undercut. Three rounds of all channels in turn, the best of each. Prints a table,
ratios to `files` in brackets, and one JSON object as the last line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import machine
from protocol import mpi, names
from protocol.channels import base as channels
from protocol.channels.base import Channel
from protocol.epoch import Epoch
from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure
from protocol.store import Store

CHANNELS = ("files", "tcp", "mpi")
ATOMS, LABELS = 12, 8
LOOK_S = 0.002  # of the sender, at the file in which the receiver counts
ROUNDS = 3
PATIENCE_S = 120.0


def small(number: int) -> Batch:
    """A batch of a small system."""
    rng = np.random.default_rng(number)
    species, cell, free = np.ones(ATOMS, int), np.eye(3), np.zeros(3, bool)
    labels = tuple(
        Label(Structure(rng.normal(size=(ATOMS, 3)), species, cell, free), 0.0, rng.normal(size=(ATOMS, 3)), None, 0, 1, "none")
        for _ in range(LABELS)
    )
    return Batch(labels, tuple(Origin("sim0", 0, number, 0, bead, -1, True, Phase.ADAPT, 0) for bead in range(LABELS)))


def large(generation: int, size: int) -> Callable[[Path], Card]:
    """What publishes a model of one file of `size` bytes."""
    canary = Canary(np.zeros((1, 2, 3)), np.ones(2, int), np.eye(3), np.zeros(3, bool), np.zeros(1), np.zeros((1, 2, 3)))
    data = np.random.default_rng(generation).bytes(size)

    def write(folder: Path) -> Card:
        (folder / "weights.h5").write_bytes(data)
        return Card("bpnn", generation, (1,), 6.0, 0, 1, "none", {}, {}, (), (), {}, canary)

    return write


def simulator(epoch: Epoch, channel: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """Sends small batches one at a time, then all at once; then takes models."""
    data, own = [small(number) for number in range(job["one"] + job["many"])], []
    _take(channel, 1)  # the other side is ready
    for number in range(job["one"]):
        began = time.monotonic()
        epoch.publish_batch(number, data[number], {"sent": began})
        own.append(time.monotonic() - began)
        _wait(Path(job["count"]), number + 1)
    began = time.monotonic()
    for number in range(job["one"], len(data)):
        epoch.publish_batch(number, data[number], {"sent": began})
    seconds = _take(channel, job["models"])
    epoch.publish_batch(len(data), data[0], {"sent": began})  # the other side may go
    return {"publish_s": statistics.median(own), "large": seconds}


def trainer(epoch: Epoch, channel: Channel, job: dict[str, Any]) -> dict[str, Any]:
    """Takes the batches; then sends models."""
    epoch.publish_weights(0, large(0, 100), {"sent": time.monotonic()})
    writers = [large(number, job["bytes"]) for number in range(1, job["models"] + 1)]
    seconds = _take(channel, job["one"] + job["many"], Path(job["count"]))
    began = time.monotonic()
    for number, write in enumerate(writers):
        epoch.publish_weights(number + 1, write, {"sent": began})
    _take(channel, 1)
    return {"one": seconds[: job["one"]], "many": seconds[job["one"] :]}


def _wait(counter: Path, count: int) -> None:
    """Until the receiver has so many: the next message should find it idle."""
    end = time.monotonic() + PATIENCE_S
    while not counter.exists() or counter.stat().st_size < count:
        time.sleep(LOOK_S)
        if time.monotonic() > end:
            raise TimeoutError(f"message {count} did not come")


def _take(channel: Channel, count: int, counter: Path | None = None) -> list[float]:
    """Seconds from being sent to being handed out, of so many messages; a byte for each into the counter."""
    found: list[float] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < count:
        new = [time.monotonic() - packet.facts["sent"] for packet in channel.receive(1.0)]
        found += new
        if counter is not None:
            with counter.open("ab") as file:
                file.write(b"x" * len(new))
        if time.monotonic() > end:
            raise TimeoutError(f"{len(found)} of {count} messages came")
    return found


def side(job: dict[str, Any]) -> None:
    """One process: everything of one side; its figures go into a file."""
    role = names.TRAIN if job["side"] == "train" else names.simulator_role("sim0")
    if job["channel"]["name"] == "mpi":
        mpi.join(role, threads=True)
    store = Store(Path(job["run"]))
    epoch = store.claim(role)
    module = channels.load(job["channel"]["name"])
    channel = module.build(module.Settings(**job["channel"]), store, role, epoch)
    told = (trainer if role == names.TRAIN else simulator)(epoch, channel, job)
    epoch.close()
    channel.close()
    Path(job["told"]).write_text(json.dumps(told), "utf-8")


def measured(name: str, folder: Path, amounts: dict[str, int]) -> dict[str, float]:
    """The figures of one channel. Raises RuntimeError where it cannot run here."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (folder / "secret").touch(0o600)
    (folder / "secret").write_text(secrets.token_hex(32), "ascii")
    keys = {"train": {"listen": address}, "sim": {"connect": address}}
    words = {}
    for one in ("sim", "train"):
        own = {**keys[one], "secret": str(folder / "secret")} if name == "tcp" else {}
        run = folder / ("run" if name == "files" else one)
        places = {"run": str(run), "told": str(folder / f"{one}.json"), "count": str(folder / "count")}
        job = {"side": one, "channel": {"name": name, **own}, **places, **amounts}
        words[one] = [sys.executable, "-m", "benchmarks.channels", "--side", json.dumps(job)]
    launch = [str(Path(sys.executable).parent / "mpiexec"), "-n", "1", *words["sim"], ":", "-n", "1", *words["train"]]
    with contextlib.ExitStack() as children:
        commands = [launch] if name == "mpi" else words.values()
        # each in a session of its own, as mpiexec starts its programs: Linux may share processors by session
        started = [children.enter_context(subprocess.Popen(command, start_new_session=True)) for command in commands]
        if any(child.wait() for child in started):
            raise RuntimeError(f"{name}: a side failed")
    sim, train = (json.loads((folder / f"{one}.json").read_text("utf-8")) for one in ("sim", "train"))
    return {
        "publish_ms": 1e3 * sim["publish_s"],
        "latency_ms": 1e3 * statistics.median(train["one"]),
        "slow_ms": 1e3 * float(np.quantile(train["one"], 0.95)),
        "batches_per_s": amounts["many"] / max(train["many"]),
        "MB_per_s": 1e-6 * amounts["models"] * amounts["bytes"] / max(sim["large"]),
    }


def best(key: str, values: list[float]) -> float:
    """The best of the rounds: other work on the machine only makes them worse."""
    return max(values) if key.endswith("per_s") else min(values)


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few and small messages: does it run?")
    parser.add_argument(
        "--folder", type=Path, help="of the run folders: the file system counts (default: that of temporary files)"
    )
    parser.add_argument("--side", type=json.loads, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side(given.side)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    amounts = {"one": 40, "many": 60, "models": 3, "bytes": 16 * 2**20}
    if given.quick:
        amounts = {"one": 3, "many": 5, "models": 1, "bytes": 2**20}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CHANNELS}
    for name in CHANNELS * (1 if given.quick else ROUNDS):
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            rounds[name].append(measured(name, Path(folder), amounts))
    told = {name: {key: best(key, [row[key] for row in rows]) for key in rows[0]} for name, rows in rounds.items()}
    columns = {
        "publish_ms": "publish, ms",
        "latency_ms": "latency, ms",
        "slow_ms": "95 of 100 below, ms",
        "batches_per_s": "small, 1/s",
        "MB_per_s": "large, MB/s",
    }
    print("channel  " + "".join(f"{title:>22}" for title in columns.values()))
    for name, row in told.items():
        cells = (f"{row[key]:10.2f} ({row[key] / told['files'][key]:.2f})" for key in columns)
        print(f"{name:8} " + "".join(f"{cell:>22}" for cell in cells))
    print(json.dumps({"machine": machine(), "amounts": amounts, **told}))


if __name__ == "__main__":
    main()
