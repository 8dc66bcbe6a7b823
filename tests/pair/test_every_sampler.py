"""kill -9 and replay for every sampler and variant: a killed run on one rank, its schedule undisturbed on two, equal bits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from protocol.settings import plugin_names
from protocol.store import Store
from renkei import trajectory
from renkei.prepare import run_folder
from sim_daemon.samplers import base

SCRIPT = Path(__file__).with_name("rehearse.py")
CELL = 'Lattice="5.4 0 0 0 5.4 0 0 0 5.4" pbc="T T T" Properties=species:S:1:pos:R:3'
ARGON = f"4\n{CELL}\nAr 0 0 0\nAr 0 2.7 2.7\nAr 2.7 0 2.7\nAr 2.7 2.7 0\n"
SCIENCE = """
science:
  system: {structure: argon.xyz}
  engine: {name: lennard_jones, epsilon_eV: 0.01032, sigma_A: 3.405, cutoff_A: 5.0}
  sampler:
    NAME
    beads: 2
    walkers: 2
    startup: trajectories
  learner: {name: chebyshev_bpnn, radial: {order: 3, cutoff_A: 4.0}, angular: {order: 1, cutoff_A: 3.5}, hidden: [3]}
  coupling: {first_segment_steps: 4, segment_steps: 7}
  phases: {adapt: {max_steps: 24}, production: {steps: 20, max_blocks: 1}}
  seed: 5
machine: {simulator: {ranks: 1}}
"""
NVT, TRAJECTORY = "ensemble: {temperature_K: 60}", "trajectory_max_fs: 400"
NPT = "ensemble: {name: npt, temperature_K: 60, pressure_GPa: 0.1, cell: %s, barostat: %s}"
KEYS = {"metropolis": "moves: {translation: {}, bridge: {}}\n    chain_moves: 8", "pimd": "timestep_fs: 10"}
VARIANTS = {
    "segment": ("sl_pihmc", NVT, "proposal: segment"),
    "partial": ("sl_pihmc", NVT, "refreshment: {angle_rad: 0.5}"),
    "kicked": ("sl_pihmc", NVT, "proposal: multiple_time_step"),
    "delayed": ("sl_pihmc", NVT, "delayed_acceptance: cheap_engine"),
    "jumps": ("sl_pihmc", NPT % ("full", "moves"), TRAJECTORY),
    "extended": ("sl_pihmc", NPT % ("isotropic", "extended"), TRAJECTORY),
    "pressure": ("pihmc", NPT % ("orthorhombic", "moves"), TRAJECTORY),
    "ladder": ("sl_pihmc", NVT, "ladder: {highest_K: 70, swap_every: 3}"),
    "scaled": ("sl_pihmc", NVT, "ladder: {highest_K: 70, rings: scaled}"),
}
CASES = {name: (name, NVT, KEYS.get(name, TRAJECTORY)) for name in plugin_names(base.load)} | VARIANTS
LEARNING = [case for case, (name, *_) in CASES.items() if name not in ("pihmc", "pimd")]


def run_of(folder, case, name):
    """A fresh run folder."""
    sampler, ensemble, more = CASES[case]
    text = SCIENCE.replace("NAME", f"name: {sampler}\n    {ensemble}\n    {more}")
    if case == "delayed":
        cheap = "cheap_engine: {name: lennard_jones, epsilon_eV: 0.011, sigma_A: 3.4, cutoff_A: 4.5}"
        text = text.replace("  sampler:", f"  {cheap}\n  sampler:")
    (folder / f"{name}.yaml").write_text(text)
    return run_folder(folder / f"{name}.yaml", folder / name, ())


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """The folder of all runs, killed and restarted, and of their replays on two ranks."""
    folder = tmp_path_factory.mktemp("rehearsed")
    (folder / "argon.xyz").write_text(ARGON)
    runs = [run_of(folder, case, case) for case in CASES]
    for case in CASES:
        run_of(folder, case, f"{case}-again")
    launcher = [str(Path(sys.executable).with_name("mpirun")), "-n", "2"]
    for before, what in (([], "killed"), (launcher, "replayed")):
        done = subprocess.run([*before, sys.executable, str(SCRIPT), what, *map(str, runs)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
    return folder


def rows_of(run):
    """The ledger's step rows without what depends on the clock."""
    rows = [row for row in Store(run).ledger("sim/sim0") if row["event"] == "step"]
    return [{key: value for key, value in row.items() if key not in ("seconds", "unix")} for row in rows]


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_is_its_undisturbed_replay_on_two_ranks(case, rehearsed):
    killed, again = rehearsed / case, rehearsed / f"{case}-again"
    rows = rows_of(killed)
    assert [row["step"] for row in rows] == [step for step in range(1, 45) for _ in range(2)]
    assert rows == rows_of(again)
    one, two = (trajectory.read(Store(run), "sim/sim0") for run in (killed, again))
    np.testing.assert_array_equal(one.step, np.arange(1, 45))
    np.testing.assert_array_equal(one.positions, two.positions)
    np.testing.assert_array_equal(one.cells, two.cells)
    assert len(Store(killed).epochs("sim/sim0")) == 3
    assert len(Store(again).epochs("sim/sim0")) == 1


@pytest.mark.parametrize("case", CASES)
def test_the_rehearsals_are_no_still_lives(case, rehearsed):
    """Proposals are accepted, both generations drive steps, and each variant does what it is named for."""
    rows = rows_of(rehearsed / case)
    assert {row["generation"] for row in rows} == ({0, 1} if case in LEARNING else {-1})
    assert sum(row["accepted"] for row in rows if row["phase"] == "production") >= 5
    if case in ("ladder", "scaled"):
        assert {row["replica"] for row in rows[::2]} == {0, 1}
    if case in ("jumps", "extended", "pressure"):
        assert len({row["observables"].get("volume_A3") for row in rows}) > 5
    if case == "delayed":
        assert sum(row["cheap_calls"] for row in rows) > 20
