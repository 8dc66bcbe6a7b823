"""Real daemons as real processes on a small real run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from protocol.store import Store
from renkei.prepare import run_folder

sys.path[:0] = [str(Path(__file__).parent / "harness"), str(Path(__file__).parent)]  # what several test files share
ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
SCIENCE = """
science:
  system: {structure: dimer.xyz, restraint: {radius_A: 4.0, k_eV_per_A2: 1.0}}
  engine: {name: tblite, method: GFN2-xTB}
  sampler:
    name: sl_pihmc
    ensemble: {temperature_K: 300}
    beads: 4
    timestep_fs: 0.5
    trajectory_max_fs: 40
    startup: trajectories
  learner: {name: chebyshev_bpnn, radial: {order: 6, cutoff_A: 5.0}, angular: {order: 3, cutoff_A: 3.5}, hidden: [10, 10]}
  coupling:
    {labels_per_retrain: 60, beads_per_ring: 2, max_wait_s: 3, first_segment_steps: 5, segment_steps: 10, epochs_per_retrain: 40}
  phases: {adapt: {max_steps: 100000}, production: {steps: 40, max_blocks: 1}}
  seed: 3
machine: {simulator: {ranks: 1}, trainer: {device: cpu}}
"""
DIMER = """6

O 0.0 0.0 0.0
H 0.76 0.0 0.58
H -0.76 0.0 0.58
O 0.0 2.85 0.3
H 0.0 1.90 0.15
H 0.0 3.3 1.15
"""


class Pair:
    """One run folder and the processes that work on it."""

    def __init__(self, run):
        self.run, self.processes = run, []

    def start(self, *words):
        """Start a command in the environment of the tests; its output goes to a file beside the run."""
        log = open(self.run.parent / f"{self.run.name}-{len(self.processes)}.out", "wb")  # noqa: SIM115
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True)
        process.output = Path(log.name)
        self.processes.append(process)
        return process

    def simulator(self, *options, ranks=1):
        """The simulator; under mpirun even for one rank, as a user submits it."""
        return self.start(str(BIN / "mpirun"), "-n", str(ranks), sys.executable, "-m", "sim_daemon", str(self.run), *options)

    def trainer(self, *options):
        """The trainer."""
        return self.start(sys.executable, "-m", "train_daemon", str(self.run), *options)

    def rows(self, event="step", role="sim/sim0"):
        """Rows of the ledger that count."""
        return [row for row in Store(self.run).ledger(role) if row["event"] == event]

    def wait_for(self, condition, timeout_s=400):
        """Poll until `condition()` is true; fail with the daemons' output otherwise."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "\n".join(p.output.read_text()[-3000:] for p in self.processes)
            time.sleep(0.1)

    def control(self, name):
        """Make a control file."""
        (self.run / "control").mkdir(exist_ok=True)
        (self.run / "control" / name).touch()

    def used(self):
        """Generations that have driven steps."""
        return {row["generation"] for row in self.rows() if row["generation"] >= 0}

    def kill(self, process):
        """kill -9 the whole job."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def chain(self, name="position/value"):
        """Positions (S, W, P, N, 3) A by step, or "box" (S, W, 3, 3) A; where steps occur twice the later file holds."""
        frames = {}
        for path in Store(self.run).trajectories("sim/sim0"):
            with h5py.File(path, "r", locking=False) as file:
                group = file["particles/all"]
                frames.update(zip(group["position/step"][:].tolist(), group[name][:], strict=True))
        return np.array([frames[step] for step in sorted(frames)])

    def close(self):
        """End what still runs."""
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)


@pytest.fixture
def make_pair(tmp_path):
    """make_pair(name, *overrides, source=None) -> Pair on a fresh run folder, of a small water run or of a shipped file."""
    pairs = []

    def make(name="run", *overrides, source=None):
        if source is None:
            source = tmp_path / f"{name}.yaml"
            source.write_text(SCIENCE)
            (tmp_path / "dimer.xyz").write_text(DIMER)
        pairs.append(Pair(run_folder(source, tmp_path / name, overrides)))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A run that both daemons have brought to its end, the simulator on two ranks; frozen by hand once two models were used."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "run.yaml").write_text(SCIENCE)
    (folder / "dimer.xyz").write_text(DIMER)
    pair = Pair(run_folder(folder / "run.yaml", folder / "run", ()))
    simulator, trainer = pair.simulator(ranks=2), pair.trainer()
    try:
        pair.wait_for(lambda: len(pair.used()) >= 2, 600)  # however long compilation takes on this machine
        pair.control("FREEZE")
        pair.wait_for(lambda: simulator.poll() is not None, 400)
        pair.control("STOP")
        pair.wait_for(lambda: trainer.poll() is not None, 120)
        assert (simulator.returncode, trainer.returncode) == (0, 0), simulator.output.read_text() + trainer.output.read_text()
        yield pair
    finally:
        pair.close()
