"""Small batches, cards and run folders."""

import copy
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from protocol import atomic, batch, checkpoint, heartbeat, process
from protocol.channels import files
from protocol.records import Batch, Canary, Card, Label, Origin, Phase, Structure
from protocol.store import Store

sys.path.insert(0, str(Path(__file__).parent / "harness"))  # what several test files share
PERIOD_S = 0.1  # of heartbeats in these tests
DEAD = 2**22 + 7  # a process number that no process has


@pytest.fixture
def make_batch():
    """make_batch(seed, simulator="sim0", labels=3) -> Batch."""

    def make(seed: int, simulator: str = "sim0", labels: int = 3) -> Batch:
        rng = np.random.default_rng(seed)
        numbers, pbc = np.array([8, 1, 1]), np.array([True, False, True])
        made = tuple(
            Label(
                Structure(rng.normal(size=(3, 3)), numbers, np.eye(3), pbc),
                rng.normal(),
                rng.normal(size=(3, 3)),
                None,
                1,
                2,
                "gfn2",
            )
            for _ in range(labels)
        )
        return Batch(made, tuple(Origin(simulator, 0, seed, 1, bead, -1, bead == 0, Phase.ADAPT, 0) for bead in range(labels)))

    return make


@pytest.fixture
def make_card():
    """make_card(generation) -> Card."""

    def make(generation: int) -> Card:
        canary = Canary(
            np.full((1, 2, 3), 0.1), np.array([1, 8]), np.eye(3), np.zeros(3, bool), np.array([1 / 3]), np.ones((1, 2, 3))
        )
        metrics = {"rmse": 0.25, "steps": 7, "better": True, "undefined": float("nan")}
        return Card("bpnn", generation, (1, 8), 6.0, 0, 1, "gfn2", {"hidden": [3, 3]}, metrics, ("p",), ("sim0/1/4",), {}, canary)

    return make


@pytest.fixture
def write_model(make_card):
    """write_model(generation) -> function for Epoch.publish_weights."""

    def make(generation: int) -> Callable:
        def write(folder):
            (folder / "weights.h5").write_bytes(b"model %d" % generation)
            return make_card(generation)

        return write

    return make


@pytest.fixture
def cursor():
    """cursor(batch, generation, row) -> a state to save."""
    return lambda batch, generation, row: {"cursor": {"batch": batch, "generation": generation, "row": row}}


@pytest.fixture
def store(tmp_path):
    """The store of an empty run folder with fast heartbeats."""
    return Store(tmp_path / "run", period_s=PERIOD_S)


@pytest.fixture
def kill_at():
    """kill_at(step, work): run `work` in a child that is killed at its step-th system call; False if it had ended before."""

    def run(step: int, work: Callable[[], None]) -> bool:
        child = os.fork()
        if child:
            status = os.waitpid(child, 0)[1]
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"
            return os.WIFSIGNALED(status)
        try:
            real, calls = atomic._call, [0]

            def counted(function, *args, **keys):
                if calls[0] == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                calls[0] += 1
                return real(function, *args, **keys)

            atomic._call = counted
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)

    return run


@pytest.fixture
def memory(tmp_path):
    """A folder in memory where the machine has one: thousands of run folders come and go in it."""
    home = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="renkei-", dir=home if os.access(home, os.W_OK) else tmp_path))
    yield folder
    shutil.rmtree(folder)


class NoThread:
    """Stands for the thread of a heartbeat: the story beats by itself."""

    def __init__(self, **_):
        pass

    def start(self):
        pass

    def join(self):
        pass


@pytest.fixture
def still(monkeypatch):
    """No observers, and no process that lives on."""
    identity = {**process.identity(), "pid": DEAD}
    monkeypatch.setattr(process, "identity", lambda: identity)
    monkeypatch.setattr(files, "_start_observer", lambda: None)
    monkeypatch.setattr(heartbeat.threading, "Thread", NoThread)


@pytest.fixture
def quiet(still, monkeypatch):
    """Still, and no reading of the same HDF5 bytes twice."""
    loaded, load, dumped, dump = {}, batch.load, {}, batch.dump
    monkeypatch.setattr(batch, "dump", lambda b: dumped.get(b.origins[0].step) or dumped.setdefault(b.origins[0].step, dump(b)))
    states, restore = {}, checkpoint.load
    monkeypatch.setattr(
        checkpoint, "load", lambda data: copy.deepcopy(states.get(data) or states.setdefault(data, restore(data)))
    )
    monkeypatch.setattr(batch, "load", lambda data: loaded[data] if data in loaded else loaded.setdefault(data, load(data)))
