"""From settings to the parts of a simulator: ring, adapter, kind of start-up."""

from __future__ import annotations

import math
from pathlib import Path

from kernels.ring_polymer import RingPolymer, ring_polymer
from kernels.units import WAVENUMBER_RAD_PER_FS
from protocol import settings
from protocol.channels import base as channels
from protocol.settings import Config
from sim_daemon.adapt import Adapter
from sim_daemon.engines import base as engines
from sim_daemon.samplers import base as samplers
from sim_daemon.samplers.base import RingSettings
from sim_daemon.system import System

HYDROGEN_PER_CM, OTHERS_PER_CM = 3000.0, 1200.0  # omega_ref of the sampling masses: O-H stretches, else phonons
LIGHT_AMU = 4.0
STEPS_PER_PERIOD = 22  # first time step; the adapt phase tunes it
LARGEST_FACTOR = 3.0  # of the first step; keeps omega_ref dt far below the stability limit of 2
FIRST_PRINCIPLES_LENGTH_FS = 20.0  # trajectory of `pihmc` when it is auto


def load_config(run: Path, name: str) -> Config:
    """The configuration of a run folder for the simulator `name`; raises BadSetting."""
    plugins = {"engine": engines.load, "sampler": samplers.load, "channel": channels.load}
    return settings.load(run, plugins, simulator=name)


def make_ring(chosen: RingSettings, system: System) -> RingPolymer:
    """The ring polymer of a run."""
    wavenumber = getattr(chosen, "mode_wavenumber_per_cm", "auto")  # of samplers that fly trajectories
    if wavenumber == "auto":
        wavenumber = HYDROGEN_PER_CM if system.masses_amu.min() < LIGHT_AMU else OTHERS_PER_CM
    return ring_polymer(system.masses_amu, chosen.ensemble.temperature_K, chosen.beads, float(wavenumber))


def make_adapter(chosen: RingSettings, system: System) -> Adapter:
    """The controller of the adapt phase: the sampler's own, or that of trajectories."""
    own = getattr(samplers.load(chosen.name), "adapter", None)
    if own is not None:
        found: Adapter = own(chosen, system)
        return found
    light = system.masses_amu.min() < LIGHT_AMU
    period_fs = 2 * math.pi / ((HYDROGEN_PER_CM if light else OTHERS_PER_CM) * WAVENUMBER_RAD_PER_FS)
    tune = chosen.timestep_fs == "auto"
    timestep = period_fs / STEPS_PER_PERIOD if chosen.timestep_fs == "auto" else chosen.timestep_fs
    learns = chosen.name != "pihmc"
    length = None if chosen.trajectory_fs == "auto" else chosen.trajectory_fs
    if length is None and not learns:
        length = min(FIRST_PRINCIPLES_LENGTH_FS, chosen.trajectory_max_fs)
    return Adapter(timestep, LARGEST_FACTOR * timestep, tune, length, chosen.trajectory_max_fs, chosen.walkers, learns)


def startup_kind(chosen: RingSettings, system: System) -> str:
    """harmonic for crystals and single molecules, trajectories for clusters of several."""
    if chosen.startup != "auto":
        return chosen.startup
    return "trajectories" if system.several_molecules else "harmonic"
