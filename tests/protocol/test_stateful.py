"""Any interleaving of what may happen to a pair, against a model of a few lists: each batch counts once, or not at all."""

import threading
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from crash_disk import Unsynced
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from story import LOG, SIM, TRAIN, batch_of, writer
from views import View

from protocol import atomic, delays, epoch, heartbeat, process
from protocol.channels import files
from protocol.errors import RoleTaken
from protocol.store import Store
from train_daemon.dataset import Dataset
from train_daemon.intake import Intake, name_of

DEAD = {**process.identity(), "pid": 2**22 + 7}
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class NoThread:
    """Beats are made by the rules."""

    def __init__(self, **_):
        self.start = self.join = lambda: None


class Pair(RuleBasedStateMachine):
    """One simulator role and one trainer role; `owners` of each are the starts that have not been killed, the last one rules."""

    def __init__(self):
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(TemporaryDirectory(prefix="renkei-", dir=MEMORY))
        self.now = 0.0
        for target, name, value in (
            (atomic, "os", Unsynced()),
            (heartbeat, "threading", SimpleNamespace(Thread=NoThread, Lock=threading.Lock, Event=threading.Event)),
            (process, "identity", lambda: DEAD),
            (files, "_start_observer", lambda: None),
            (epoch, "time", self._clock()),
            (heartbeat, "time", self._clock()),
        ):
            self.stack.enter_context(patch.object(target, name, value))
        self.root = Path(folder, "run")
        self.view = View(self.root, 0, 0)
        self.owners = {SIM: [], TRAIN: []}
        self.counted = {SIM: [], TRAIN: []}  # (epoch, number): what a model says that counts
        self.saved = {SIM: [], TRAIN: []}
        self.rows, self.saved_rows, self.id = [], [], 0
        self.living = False  # whether a claim sees the ruling process of this machine as alive

    def teardown(self):
        self.stack.close()

    def _clock(self):
        """Stands for the module `time` in the modules that are tested, and in no other."""
        return SimpleNamespace(sleep=self._sleep, monotonic=lambda: self.now, time=lambda: self.now)

    def _sleep(self, seconds):
        self.now += seconds
        for role in (SIM, TRAIN):
            if self.living and self.owners[role]:
                self.owners[role][-1].heartbeat._beat()

    def _claim(self, role, takeover=False):
        return Store(self.root, 0.1).claim(role, takeover)

    @initialize()
    def begin(self):
        self._start(SIM)
        self._start(TRAIN)

    def _start(self, role, takeover=False):
        started = self._claim(role, takeover)
        self.owners[role].append(started)
        self.counted[role] = list(self.saved[role])
        if role == SIM:
            self.rows = list(self.saved_rows)
            self.number = started.adopted.batch
            assert [row["id"] for row in Store(self.root).ledger(SIM)] == self.rows
            return
        store = Store(self.root, 0.1)
        channel = files.FilesChannel(0.01, store, TRAIN, started, {}, lambda: self.now)
        self.intake = Intake(Dataset(2), started, channel, LOG)
        self.intake.resume((started.adopted.checkpoint or {}).get("batches", []), store)

    # --- what may happen ------------------------------------------------------------------------

    @rule()
    def publish_a_batch(self):
        self.number += 1
        packet = self.owners[SIM][-1].publish_batch(self.number, batch_of(self.number), {"phase": "adapt"})
        self.counted[SIM].append((packet.epoch, packet.number))

    @rule(durable=st.booleans())
    def write_a_row(self, durable):
        self.id += 1
        self.owners[SIM][-1].journal.append({"id": self.id}, durable)
        self.rows.append(self.id)

    @rule()
    def save_the_simulator(self):
        one = self.owners[SIM][-1]
        one.save_checkpoint({"cursor": {"batch": self.number, "generation": -1, "row": one.journal.rows_written}})
        self.saved[SIM], self.saved_rows = list(self.counted[SIM]), list(self.rows)

    @rule()
    def publish_a_model(self):
        one = self.owners[TRAIN][-1]
        packet = one.publish_weights(one.next_number, writer(one.next_number, (), ()), {})
        assert packet.number not in {number for _, number in self.counted[TRAIN]}
        self.counted[TRAIN].append((packet.epoch, packet.number))

    @rule()
    def consume(self):
        with self.view.active():
            self.intake.take(self.intake.receive(0.0))

    @rule()
    def save_the_trainer(self):
        one = self.owners[TRAIN][-1]
        last = max((number for _, number in self.counted[TRAIN]), default=-1)
        cursor = {"batch": -1, "generation": last, "row": one.journal.rows_written}
        one.save_checkpoint({"cursor": cursor, "batches": list(self.intake.dataset.names)})
        self.saved[TRAIN] = list(self.counted[TRAIN])

    @rule(role=st.sampled_from([SIM, TRAIN]))
    def crash_and_restart(self, role):
        self.owners[role].clear()  # as after kill -9: those that were superseded are gone too
        self._start(role)

    @rule(role=st.sampled_from([SIM, TRAIN]))
    def end_and_restart(self, role):
        self.owners[role].pop().close("gone")
        self._start(role)

    @rule(role=st.sampled_from([SIM, TRAIN]))
    def start_twice(self, role):
        """A second start while the first one beats, seen from another machine."""
        self.living = True
        with patch.object(process, "is_gone", lambda who: False), pytest.raises(RoleTaken):
            self._claim(role)
        self.living = False

    @rule(role=st.sampled_from([SIM, TRAIN]))
    def take_over(self, role):
        """The old owner sleeps on, and will wake up."""
        self._start(role, takeover=True)

    @precondition(lambda self: len(self.owners[SIM]) > 1)
    @rule(looked_before=st.booleans(), which=st.integers(0, 9))
    def an_old_simulator_wakes_up(self, looked_before, which):
        """It notices, or it had looked just before: what it writes then counts for nothing."""
        old = self.owners[SIM][which % (len(self.owners[SIM]) - 1)]
        writes = (
            lambda: old.publish_batch(old._last + 1, batch_of(900 + old._last), {"phase": "adapt"}),
            lambda: old.save_checkpoint(
                {"cursor": {"batch": old._last, "generation": -1, "row": old.journal.rows_written}, "old": True}
            ),
        )
        old.journal.append({"id": -1}, durable=True)
        for write in writes:
            if looked_before:
                with patch.object(old, "superseded", lambda: False):
                    write()
            else:
                with pytest.raises(RoleTaken):
                    write()

    @rule(seconds=st.sampled_from([0.1, 30.0, 1e5, -1e5]))
    def the_clock_jumps(self, seconds):
        """Of the trainer's machine."""
        self.now += seconds

    @rule(names=st.integers(0, 3), data=st.integers(0, 3), seed=st.integers(0, 99))
    def the_folder_lags(self, names, data, seed):
        """From now on the trainer's node sees names and bytes so many looks late."""
        self.view.delays, self.view.seed = (names, data), seed

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def what_counts_is_what_the_model_says(self):
        store = Store(self.root)
        for role in (SIM, TRAIN):
            assert [(packet.epoch, packet.number) for packet in store.packets(role)] == self.counted[role], role
        assert store.refused == []
        assert [row["id"] for row in store.ledger(SIM)] == self.rows

    @invariant()
    def nothing_is_in_the_training_set_twice(self):
        assert len(set(self.intake.dataset.names)) == len(self.intake.dataset.names)

    @invariant()
    def a_trainer_that_looks_long_enough_has_each_batch_once(self):
        if self.id % 3:  # now and then: it costs a few looks
            return
        self.now += delays.LATE_S + 1
        for _ in range(40 if any(self.view.delays) else 2):
            self.consume()
        names = sorted(name_of(packet) for packet in Store(self.root).packets(SIM))
        assert sorted(self.intake.dataset.names) == names


SETTINGS = settings(
    max_examples=20,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_any_interleaving(record_property):
    scenarios = []

    class Counted(Pair):
        def teardown(self):
            scenarios.append(self.id)
            super().teardown()

    run_state_machine_as_test(Counted, settings=SETTINGS)
    record_property(
        "told", f"random scenarios of a pair tried: {len(scenarios)}, of up to {SETTINGS.stateful_step_count} acts each"
    )
    assert len(scenarios) >= SETTINGS.max_examples
