"""Any system call of both daemons fails: one clear error at most, nothing damaged; the same call goes on without the fault."""

import errno
import os
import random
import shutil
from types import SimpleNamespace

import pytest
from crash_disk import Unsynced
from story import SIM, TRAIN, Simulator, Story, Trainer, check

from protocol import atomic
from protocol.errors import RenkeiError
from protocol.store import Store

CALLS = ("open", "write", "fsync", "close", "rename", "mkdir", "ftruncate")
FAULTS = {  # name -> (error number, how many calls in a row fail, whether the call is made all the same)
    "EIO": (errno.EIO, 1, False),
    "EIO, but done": (errno.EIO, 1, True),
    "ENOSPC": (errno.ENOSPC, 1, False),
    "EDQUOT": (errno.EDQUOT, 1, False),
    "ESTALE": (errno.ESTALE, 2, False),
    "ESTALE for long": (errno.ESTALE, 14, False),
    "EINTR": (errno.EINTR, 1, False),
    "half a write": (0, 1, False),
    "half a write, then ENOSPC": (errno.ENOSPC, 1, None),
}
UNSEEN = {"ESTALE", "EINTR", "half a write"}


class Failing(Unsynced):
    """`os` whose `at`-th changing call fails."""

    def __init__(self, at=-1, fault="EIO"):
        self.at, self.calls = at, 0
        self.number, self.left, self.done = FAULTS[fault]
        self.half = False

    def __getattr__(self, name):
        real = super().__getattr__(name)
        return (lambda *args: self._call(name, real, *args)) if name in CALLS else real

    def fsync(self, fd):
        return self._call("fsync", lambda fd: None, fd)

    def _call(self, name, real, *args):
        self.calls += 1
        if self.half:
            self.half = False
            raise OSError(self.number, os.strerror(self.number))
        if self.calls - 1 < self.at or not self.left or self.at < 0:
            return real(*args)
        self.left -= 1
        if not self.number or self.done is None:
            if name != "write":
                return real(*args)
            self.half = self.done is None
            return real(args[0], bytes(args[1][: max(1, len(args[1]) // 2)]))
        if self.done or name == "close":
            real(*args)
        raise OSError(self.number, os.strerror(self.number))


def tell(story):
    """A short story: both sides, a model, a restart."""
    train, sim = Trainer(story), Simulator(story)
    train.turn()
    sim.segment()
    sim.end()
    sim = Simulator(story)
    sim.segment()
    train.turn()
    sim.end()
    train.end()


def told(root):
    """What a run folder says, as far as it must not depend on faults; `check` looks at the rest."""
    store = Store(root)
    return [[packet.number for packet in store.packets(role)] for role in (SIM, TRAIN)], len(store.refused)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_anywhere(memory, quiet, monkeypatch, record_property, fault):
    monkeypatch.setattr(atomic, "time", SimpleNamespace(sleep=lambda seconds: None))
    counting, want = Failing(), None
    monkeypatch.setattr(atomic, "os", counting)
    tell(Story(memory / "sound", lambda: 0))
    want, tried, heard = told(memory / "sound"), 0, 0
    for at in random.Random(fault).sample(range(counting.calls), counting.calls // 20):
        errors = []

        def attempt(call, errors=errors):
            for _ in range(5):
                try:
                    return call()
                except RenkeiError as problem:
                    errors.append(problem)
            raise AssertionError("it does not go on")

        root = memory / "run"
        root.mkdir()
        story, failing = Story(root, lambda: 0, attempt), Failing(at, fault)
        monkeypatch.setattr(atomic, "os", failing)
        tell(story)
        monkeypatch.setattr(atomic, "os", Unsynced())
        for error in errors:
            assert "\n" not in str(error)
            assert "cannot" in str(error) or "name already" in str(error), error
        assert len(errors) <= (0 if fault in UNSEEN else 12 if fault == "ESTALE for long" else 1), (at, errors)
        assert told(root) == want, (at, errors)
        check(story, root, 1, 1)
        shutil.rmtree(root)
        tried, heard = tried + 1, heard + bool(errors)
    assert fault in UNSEEN or heard > tried // 20
    record_property("told", f"faults tried, {fault}: {tried}")
