"""A link in memory, whose messages can be lost, doubled or delayed; and a pair of run folders that share nothing but it."""

import itertools
import random

from protocol.replica.replicator import Replicator
from protocol.store import Store


class MemoryLink:
    """One end. `calls`: whether it greets; `faults`: (lost, doubled) probabilities, by a seed."""

    def __init__(self, calls, seed=0, lost=0.0, doubled=0.0):
        self.calls, self.lost, self.doubled = calls, lost, doubled
        self.inbox, self.other, self.sent = [], None, []
        self.random = random.Random(seed)

    def peers(self):
        return ("there",) if self.calls else ()

    def send(self, peer, message):
        if self.other is None:
            return False
        self.sent.append(message)
        copies = 0 if self.random.random() < self.lost else 2 if self.random.random() < self.doubled else 1
        self.other.inbox += copies * [("there", message)]
        return True

    def receive(self, timeout_s):
        return self.inbox.pop(0) if self.inbox else None

    def wake(self):
        pass

    def close(self):
        pass

    def kinds(self):
        """Kinds of the messages sent so far."""
        from protocol.replica import wire

        return [wire.decode(data).kind for data in self.sent]


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class TwoFolders:
    """A simulator's and a trainer's run folder, their epochs and the two replicators, turned by hand."""

    def __init__(self, root, period_s, **faults):
        self.root, self.period_s, self.clock, self.faults = root, period_s, Clock(), faults
        self.stores = {side: Store(root / side, period_s) for side in ("sim", "train")}
        self.epochs, self.links, self.ends = {}, {}, {}
        self.seeds = itertools.count()

    def start(self, side, mark=""):
        """A new start of one side, connected."""
        role = "train" if side == "train" else "sim/sim0"
        if side in self.epochs:
            self.epochs[side].close()
        self.epochs[side] = self.stores[side].claim(role)
        self.connect(side, mark)
        return self.epochs[side]

    def connect(self, side, mark=""):
        """A replicator of the start in hand that knows only what lies in its folder."""
        epoch = self.epochs[side]
        link = self.links[side] = MemoryLink(side == "sim", next(self.seeds), **self.faults)
        self.ends[side] = Replicator(self.root / side, epoch.role, epoch.number, link, mark, self.clock)
        if len(self.links) == 2:
            self.links["sim"].other, self.links["train"].other = self.links["train"], self.links["sim"]

    def turn(self, times=40, seconds=0.5, sides=("sim", "train")):
        """Turns of both ends; the clock goes on by `seconds` with each."""
        for _ in range(times):
            for side in sides:
                self.ends[side].news = True
                self.ends[side].turn(0.0)
            self.clock.now += seconds

    def close(self):
        for epoch in self.epochs.values():
            epoch.close()

    def same(self, role, below=("epoch.json", "batches", "weights", "triggers")):
        """Whether the published files of a role are the same bytes in both folders; the names."""
        trees = []
        for side in ("sim", "train"):
            home = self.root / side / role
            files = (path for path in sorted(home.rglob("*")) if path.is_file() and path.relative_to(home).parts[1:2])
            wanted = (
                path
                for path in files
                if path.relative_to(home).parts[1] in below and "current" not in path.parts and ".tmp" not in str(path)
            )
            trees.append({str(path.relative_to(home)): path.read_bytes() for path in wanted})
        assert trees[0] == trees[1], sorted(set(trees[0]) ^ set(trees[1]))
        return sorted(trees[0])
