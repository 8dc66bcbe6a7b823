"""A kill or a power cut after the system calls of a real simulator, in its own order: the next start is the same chain.

test_crash.py plays the daemons' use of the protocol from a script; here `sim_daemon` writes.
"""

import json
import logging
import signal
from pathlib import Path

import numpy as np
import pytest
from crash_disk import Recorder, Unsynced, some_crashes, survive

from protocol import atomic
from protocol.log import close_log
from protocol.shutdown import SIGNALS
from protocol.store import Store
from renkei import trajectory
from renkei.prepare import run_folder
from sim_daemon.lead import Orders, lead
from sim_daemon.world import World

SIM = "sim/sim0"
STEPS, MORE = 14, 3
FREEZE_AFTER = 8  # a person's wish, in the middle of a segment: it must not come twice, or be forgotten
DURABLE = ("start", "startup", "segment", "freeze", "block_end", "end")
POINTS = 40  # of some 600 folders that can be told apart
RUN = """
science:
  system: {structure: dimer.xyz, restraint: {radius_A: 4.0, k_eV_per_A2: 1.0}}
  engine: {name: lennard_jones, epsilon_eV: 0.00308, sigma_A: 2.74}
  sampler:
    name: pihmc
    ensemble: {temperature_K: 10}
    beads: 2
    walkers: 2
    startup: trajectories
    timestep_fs: 5.0
    trajectory_fs: 40.0
    refreshment: {angle_rad: 0.5}
  learner: {name: chebyshev_bpnn, radial: {order: 4, cutoff_A: 5.0}, angular: {order: 2, cutoff_A: 4.0}, hidden: [4]}
  coupling: {first_segment_steps: 3, segment_steps: 3, max_wait_s: 1000}
  phases: {adapt: {max_steps: 1000}, production: {steps: 1000}}
  seed: 4
machine: {channel: {name: files, poll_s: 0.1}}
"""


class Freezing(Recorder):
    """A recorder beside which a person asks for production."""

    def write(self, fd, data):
        done = super().write(fd, data)
        if b'"event": "step"' in bytes(data) and f'"step": {FREEZE_AFTER},'.encode() in bytes(data):
            Path(self.root, "control").mkdir(exist_ok=True)
            Path(self.root, "control", "FREEZE").touch()
        return done


@pytest.fixture
def work(still):
    """work(run, steps): a start of the simulator."""
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def start(run, steps):
        try:
            assert lead(World(), Orders(run, steps=steps)) == 0
        finally:
            close_log(logging.getLogger("sim_daemon"))

    yield start
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def recorded(tmp_path, work, monkeypatch):
    """(run, trace) of a simulator that nothing disturbs."""
    (tmp_path / "dimer.xyz").write_text("2\n\nNe 0 0 0\nNe 0 0 3.1\n")
    (tmp_path / "run.in.yaml").write_text(RUN)
    run = run_folder(tmp_path / "run.in.yaml", tmp_path / "run", [])
    recorder = Freezing(run)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "os", recorder)
        work(run, STEPS)
    return run, recorder.trace


def rows(run, read):
    """(step, walker) -> row, of `Store.ledger` or `Store.all_rows`; the last one of each."""
    return {(row["step"], row["walker"]): row for row in read(Store(run), SIM) if row["event"] == "step"}


def recovered(run, stood, reference):
    """The chain of a run that went on: without gap, each label once, what stood there unchanged, the reference's bits."""
    final, (of_reference, frames) = rows(run, Store.ledger), reference
    steps = max(step for step, _ in final)
    assert sorted(final) == [(step, walker) for step in range(1, steps + 1) for walker in (0, 1)], "a gap"
    for place, row in stood.items():
        assert final[place]["log_ratio"] == row["log_ratio"], f"a row that stood there has changed: {place}"
    store = Store(run)
    origins = [origin for packet in store.packets(SIM) for origin in store.read_batch(packet).origins if origin.step > 0]
    places = [(origin.step, origin.walker, origin.point, origin.bead) for origin in origins]
    assert len(set(places)) == len(places), "a label twice"
    assert {step for step, *_ in places} == set(range(1, steps + 1)), "a step's labels are lost"
    states = trajectory.read(store, SIM)
    np.testing.assert_array_equal(states.step, np.arange(1, steps + 1))
    same = 0  # up to where a wish that was lost in the crash made another plan
    while (
        (same + 1, 0) in of_reference
        and same < steps
        and all(final[same + 1, walker]["phase"] == of_reference[same + 1, walker]["phase"] for walker in (0, 1))
    ):
        same += 1
    np.testing.assert_array_equal(states.positions[:same], frames.positions[:same])
    return same


def test_a_crash_of_a_real_simulator(recorded, work, memory, monkeypatch, record_property):
    run, trace = recorded
    reference = rows(run, Store.ledger), trajectory.read(Store(run), SIM)
    assert {row["phase"] for row in reference[0].values()} == {"adapt", "production"}
    monkeypatch.setattr(atomic, "os", Unsynced())
    compared = []

    def go_on(crashed):
        stood = rows(crashed, Store.all_rows)
        work(crashed, MORE)
        compared.append(recovered(crashed, stood, reference))

    folders, different = some_crashes(trace, POINTS)
    failures = survive(folders, run, memory / "crashed", go_on)
    told = f"crashes of a real simulator tried {len(folders)} of {different}, survived {len(folders) - len(failures)}"
    record_property("told", told)
    assert not failures, "\n".join(failures[:10])
    assert sum(compared) > 5 * len(folders)


def test_what_is_promised_as_durable_is_synced_before_the_next_row(recorded):
    """The table of docs/protocol.md, by the simulator's own calls."""
    _, trace = recorded
    loose, seen = {}, set()
    for kind, first, *rest in trace:
        if kind == "fsync":
            loose.pop(first, None)
        elif kind == "write" and rest[0].startswith(b"{") and b'"event": "' in rest[0]:
            assert first not in loose, f"a row after one that must be on disk: {loose[first]}"
            event = json.loads(rest[0])["event"]
            seen.add(event)
            if event in DURABLE:
                loose[first] = event
    assert not loose
    assert seen >= {"start", "startup", "segment", "freeze", "end", "step"}
