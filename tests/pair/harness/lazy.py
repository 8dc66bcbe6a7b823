"""An engine that takes its time: a Lennard-Jones crystal whose labels come at the pace of a small first-principles call."""

import os
import time

from sim_daemon.engines import lennard_jones

LABEL_S = float(os.environ.get("LAZY_S", "0.02"))

CELL = 'Lattice="{0} 0 0 0 5.4 0 0 0 5.4" pbc="T T T" Properties=species:S:1:pos:R:3'
FOUR = ("Ar 0 0 0", "Ar 0 2.7 2.7", "Ar 2.7 0 2.7", "Ar 2.7 2.7 0")
EIGHT = (*FOUR, "Ar 5.4 0 0", "Ar 5.4 2.7 2.7", "Ar 8.1 0 2.7", "Ar 8.1 2.7 0")
STRUCTURES = {"four.xyz": (5.4, FOUR), "eight.xyz": (10.8, EIGHT)}
SCIENCE = """
science:
  system: {structure: four.xyz}
  engine: {name: harness.lazy, epsilon_eV: 0.01032, sigma_A: 3.405, cutoff_A: 5.0}
  sampler:
    name: sl_pihmc
    ensemble: {temperature_K: 60}
    beads: 2
    walkers: 2
    startup: trajectories
    timestep_fs: 5.0
    trajectory_max_fs: 200
  learner: {name: chebyshev_bpnn, radial: {order: 4, cutoff_A: 5.0}, angular: {order: 2, cutoff_A: 4.0}, hidden: [6]}
  coupling:
    labels_per_retrain: 40
    max_wait_s: 1
    first_segment_steps: 3
    segment_steps: 6
    epochs_per_retrain: 5
    keep_training_when_idle: false
  phases: {adapt: {max_steps: 100000}, production: {steps: 20, max_blocks: 1}}
  simulators: {cold: {}}
  seed: 5
machine: {simulator: {ranks: 1}, trainer: {device: cpu}, channel: {name: files, poll_s: 0.1}}
"""


class Settings(lennard_jones.Settings):
    """Those of the engine below."""

    name: str = "harness.lazy"


class Lazy:
    """The engine below, after a pause."""

    def __init__(self, engine):
        self._engine = engine
        self.fingerprint, self.rungs = engine.fingerprint, engine.rungs

    def label(self, structure, rung=0):
        """See Engine."""
        time.sleep(LABEL_S)
        return self._engine.label(structure, rung)


def build(settings, context):
    """The engine."""
    return Lazy(lennard_jones.build(settings, context))


def lay_out(folder):
    """Write the structures into a folder."""
    for name, (length, atoms) in STRUCTURES.items():
        (folder / name).write_text("\n".join([str(len(atoms)), CELL.format(length), *atoms, ""]))
